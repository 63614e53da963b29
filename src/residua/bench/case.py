"""A case of a benchmark: one network, kind of step, engine, kernels, precision and shape."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from residua._base.errors import InputError, did_you_mean
from residua._base.words import counted
from residua.runtime.engines.names import CONVERTED, EngineName, Precision, check_engine

Mode = Literal["forward", "train"]
Kernels = Literal["eager", "native"]
KERNELS: tuple[Kernels, ...] = get_args(Kernels)
Way = tuple[EngineName, Kernels]
Source = Literal["residua", "torchvision", "timm", "keras"]
PEERS: tuple[Source, ...] = get_args(Source)[1:]
INFERRING: tuple[EngineName, ...] = ("native", *CONVERTED)
"""Engines that do not train."""


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        model: our name of the network.
        source: the library that implements it.
        mode: "forward" (evaluation mode, no gradients) or "train" (forward, cross-entropy, backward, SGD step).
        engine: "eager" (torch's own operators), "compiled" (torch.compile), "onnxruntime" or "openvino".
        precision: "fp32", "bf16" (torch: by autocast) or "int8" (of a form calibrated on noise: a speed alone).
        batch: images per step.
        resolution: side of the square images, pixels.
        kernels: of a training step: "eager" (torch's own) or "native" (our fused CPU kernels).
        threads: of the CPU; 0 for torch's own choice.
    """

    model: str
    source: Source
    mode: Mode
    engine: EngineName
    precision: Precision
    batch: int
    resolution: int
    kernels: Kernels = "eager"
    threads: int = 0

    @property
    def way(self) -> str:
        """The engine, or "native kernels" where those compute: they have no engine but eager."""
        return "native kernels" if self.kernels == "native" else self.engine

    @property
    def shape(self) -> str:
        """The step without the network, such as "forward, eager, fp32, batch 32, 224 pixels"."""
        threads = f", {counted(self.threads, 'thread')}" if self.threads else ""
        return f"{self.mode}, {self.way}, {self.precision}, batch {self.batch}, {self.resolution} pixels{threads}"


def ways(engines: Sequence[str], kernels: Sequence[str]) -> tuple[Way, ...]:
    """Return every engine with every kind of kernels that it can run; a compiled network has no native kernels.

    Raises:
        InputError: an unknown engine or kind of kernels, or no pair that can be.
    """
    for name in engines:
        check_engine(name, "fp32")
    for name in kernels:
        if name not in KERNELS:
            raise InputError(
                f"kernels={name!r}", f"one of {', '.join(map(repr, KERNELS))}", did_you_mean(name, KERNELS, 1)
            )
    able: list[Way] = [pair for pair in itertools.product(engines, kernels) if pair[0] == "eager" or pair[1] == "eager"]  # type: ignore[misc]
    if not able:
        raise InputError(
            f"kernels='native' with engine={', '.join(map(repr, engines))}",
            "engine='eager': the others have kernels of their own",
            "Leave out engine=…",
        )
    return tuple(dict.fromkeys(able))


def pairs(engines: Sequence[EngineName], precisions: Sequence[Precision]) -> list[tuple[EngineName, Precision]]:
    """Return every engine with every precision that it has.

    Raises:
        InputError: an engine has none of the precisions, or a precision no engine.
    """
    able: list[tuple[EngineName, Precision]] = []
    refusals: dict[str, InputError] = {}
    for engine, precision in itertools.product(engines, precisions):
        try:
            check_engine(engine, precision)
        except InputError as refusal:
            refusals.setdefault(engine, refusal)
            refusals.setdefault(precision, refusal)
        else:
            able.append((engine, precision))
    served = {word for pair in able for word in pair}
    for word in (*engines, *precisions):
        if word not in served and word in refusals:
            raise refusals[word]
    return able


def groups(
    names: tuple[str, ...],
    resolutions: dict[str, tuple[int, ...]],
    batches: tuple[int, ...],
    mode: Mode,
    taken: tuple[Way, ...],
    precisions: tuple[Precision, ...],
    peers: dict[str, tuple[Source, ...]],
    threads: tuple[int, ...] = (0,),
) -> list[list[Case]]:
    """Return the cases in groups, within which they alternate: ours in every way, and one peer's.

    A peer computes in each of the precisions that it has, and in fp32 where it has none of them.

    Raises:
        InputError: native kernels for a forward pass or in bf16; an engine that does not train or lacks the precision.
    """
    engines = tuple(dict.fromkeys(engine for engine, _ in taken))
    if ("eager", "native") in taken and (mode != "train" or precisions != ("fp32",)):
        raise InputError(
            f"kernels='native' with mode={mode!r} and precision={', '.join(precisions)}",
            "mode='train' and precision='fp32': the native kernels are for training on CPUs",
            "Leave out kernels=…",
        )
    if mode == "train" and (inferring := [engine for engine in engines if engine in INFERRING]):
        raise InputError(
            f"engine={inferring[0]!r} with mode='train'",
            "an engine that can train: 'eager' or 'compiled'",
            "Use kernels='native' instead" if inferring[0] == "native" else "Leave it out",
        )
    able = pairs(engines, precisions)
    cases = []
    for name in names:
        for batch, resolution in itertools.product(batches, resolutions[name]):
            ours = [
                Case(name, "residua", mode, engine, precision, batch, resolution, own, count)
                for count, precision, (engine, own) in itertools.product(threads, precisions, taken)
                if (engine, precision) in able
            ]
            for peer in peers[name] or (None,):
                cases.append(ours + (_peer_cases(ours, peer, engines, precisions) if peer else []))
    return cases


def _peer_cases(
    ours: Sequence[Case], peer: Source, engines: Sequence[EngineName], precisions: Sequence[Precision]
) -> list[Case]:
    # Peers have no native kernels, and Keras has its own backend.
    kinds: list[EngineName] = [engine for engine in engines if engine == "compiled" and peer != "keras"]
    if not kinds or set(engines) - {"compiled"}:
        kinds.insert(0, "eager")
    able = ("fp32",) if peer == "keras" else ("fp32", "bf16")
    wanted: list[Precision] = [each for each in precisions if each in able] or ["fp32"]
    counts = dict.fromkeys(case.threads for case in ours)
    return [
        replace(ours[0], source=peer, engine=kind, precision=precision, kernels="eager", threads=count)
        for count, precision, kind in itertools.product(counts, wanted, kinds)
    ]
