"""How the steps of a run on a CPU are computed, where that was measured: a value that the run's folder records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

KernelsName = Literal["native", "eager", "compiled"]


class ArithmeticRecord(TypedDict):
    """An `Arithmetic` as JSON holds it."""

    kernels: str
    precision: str
    channels_last: bool
    rates: dict[str, float]


@dataclass(frozen=True)
class Arithmetic:
    """What computes the steps of a run, and the measurement that decided it.

    Attributes:
        kernels: "native" (the fused ones), "eager" (torch's own) or "compiled" (torch.compile).
        bf16: whether forward passes run under bfloat16 autocast.
        channels_last: the memory layout.
        rates: images per second of each choice that was measured, by its name; empty of one that is to be measured.
    """

    kernels: KernelsName
    bf16: bool
    channels_last: bool
    rates: Mapping[str, float]

    @property
    def name(self) -> str:
        """What it is called, such as "eager bf16"; the layout is named where it is the rarer one."""
        layout = "" if self.channels_last else ", channels first"
        return f"{self.kernels} {'bf16' if self.bf16 else 'fp32'}{layout}"

    @property
    def sentence(self) -> str:
        """The choice and what it was measured against, in one line."""
        ranked = sorted(self.rates.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{name} {rate:,.0f}" for name, rate in ranked)
        return f"Measured on the first batches, images/s: {listed}. This run takes {self.name}"

    def to_dict(self) -> ArithmeticRecord:
        """Return the choice as JSON values."""
        return {
            "kernels": self.kernels,
            "precision": "bf16" if self.bf16 else "fp32",
            "channels_last": self.channels_last,
            "rates": dict(self.rates),
        }

    @classmethod
    def from_dict(cls, record: ArithmeticRecord) -> Arithmetic:
        """Return what `to_dict` wrote; kernels of a name unknown here are torch's own."""
        known: dict[str, KernelsName] = {"native": "native", "compiled": "compiled"}
        kernels = known.get(record["kernels"], "eager")
        return cls(kernels, record["precision"] == "bf16", record["channels_last"], record["rates"])
