"""A case of a benchmark: one network, kind of step, engine, precision and shape."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal, get_args

from residua._base.errors import InputError

Mode = Literal["forward", "train"]
Engine = Literal["eager", "compiled", "native"]
Precision = Literal["fp32", "bf16"]
Source = Literal["residua", "torchvision", "timm", "keras"]
PEERS: tuple[Source, ...] = get_args(Source)[1:]


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        model: our name of the network.
        source: the library that implements it.
        mode: "forward" (evaluation mode, no gradients) or "train" (forward, cross-entropy, backward, SGD step).
        engine: "eager" (torch's own kernels), "compiled" (torch.compile) or "native" (our fused CPU kernels).
        precision: "fp32", or "bf16" by autocast.
        batch: images per step.
        resolution: side of the square images, pixels.
    """

    model: str
    source: Source
    mode: Mode
    engine: Engine
    precision: Precision
    batch: int
    resolution: int

    @property
    def shape(self) -> str:
        """The step without the network, such as "forward, eager, fp32, batch 32, 224 pixels"."""
        return f"{self.mode}, {self.engine}, {self.precision}, batch {self.batch}, {self.resolution} pixels"


def groups(
    names: tuple[str, ...],
    resolutions: dict[str, tuple[int, ...]],
    batches: tuple[int, ...],
    mode: Mode,
    engines: tuple[Engine, ...],
    precisions: tuple[Precision, ...],
    peers: dict[str, tuple[Source, ...]],
) -> list[list[Case]]:
    """Return the cases in groups, within which they alternate: ours with every engine, and one peer's.

    Raises:
        InputError: native kernels for a forward pass or in bf16.
    """
    if "native" in engines and (mode != "train" or precisions != ("fp32",)):
        raise InputError(
            f"engine='native' with mode={mode!r} and precision={', '.join(precisions)}",
            "mode='train' and precision='fp32': the native kernels are for training on CPUs",
            "Leave out engine=…",
        )
    cases = []
    for name in names:
        for batch, resolution, precision in itertools.product(batches, resolutions[name], precisions):
            ours = [Case(name, "residua", mode, engine, precision, batch, resolution) for engine in engines]
            for peer in peers[name] or (None,):
                # Peers have no native kernels, and Keras has its own backend.
                kinds: list[Engine] = [engine for engine in engines if engine == "compiled" and peer != "keras"]
                if not kinds or set(engines) - {"compiled"}:
                    kinds.insert(0, "eager")
                cases.append(
                    ours + [Case(name, peer, mode, kind, precision, batch, resolution) for kind in kinds if peer]
                )
    return cases
