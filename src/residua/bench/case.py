"""A case of a benchmark: one network, kind of step, engine, kernels, precision and shape."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from residua._base.errors import InputError, did_you_mean
from residua.runtime.engines.names import CONVERTED, EngineName, Precision, check_engine

Mode = Literal["forward", "train"]
Kernels = Literal["eager", "native"]
KERNELS: tuple[Kernels, ...] = get_args(Kernels)
Way = tuple[EngineName, Kernels]
EngineWord = Literal[EngineName, "native"]
"""What is taken for an engine: for one release, the former name of kernels="native" too."""
Source = Literal["residua", "torchvision", "timm", "keras"]
PEERS: tuple[Source, ...] = get_args(Source)[1:]


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        model: our name of the network.
        source: the library that implements it.
        mode: "forward" (evaluation mode, no gradients) or "train" (forward, cross-entropy, backward, SGD step).
        engine: "eager" (torch's own operators), "compiled" (torch.compile), "onnxruntime" or "openvino".
        precision: "fp32", or "bf16" by autocast.
        batch: images per step.
        resolution: side of the square images, pixels.
        kernels: of a training step: "eager" (torch's own) or "native" (our fused CPU kernels).
    """

    model: str
    source: Source
    mode: Mode
    engine: EngineName
    precision: Precision
    batch: int
    resolution: int
    kernels: Kernels = "eager"

    @property
    def way(self) -> str:
        """The engine, or "native kernels" where those compute: they have no engine but eager."""
        return "native kernels" if self.kernels == "native" else self.engine

    @property
    def shape(self) -> str:
        """The step without the network, such as "forward, eager, fp32, batch 32, 224 pixels"."""
        return f"{self.mode}, {self.way}, {self.precision}, batch {self.batch}, {self.resolution} pixels"


def ways(engines: Sequence[str], kernels: Sequence[str]) -> tuple[Way, ...]:
    """Return every engine with every kind of kernels that it can run; a compiled network has no native kernels.

    Raises:
        InputError: an unknown engine or kind of kernels, or no pair that can be.
    """
    known = [name for name in engines if name != "native"]
    for name in known:
        check_engine(name, "fp32")
    for name in kernels:
        if name not in KERNELS:
            raise InputError(
                f"kernels={name!r}", f"one of {', '.join(map(repr, KERNELS))}", did_you_mean(name, KERNELS, 1)
            )
    pairs: list[Way] = [pair for pair in itertools.product(known, kernels) if pair[0] == "eager" or pair[1] == "eager"]  # type: ignore[misc]
    if "native" in engines:
        warnings.warn("engine='native' is now kernels='native'; the old word goes with the next release", stacklevel=3)
        pairs.append(("eager", "native"))
    if not pairs:
        raise InputError(
            f"kernels='native' with engine={', '.join(map(repr, known))}",
            "engine='eager': the others have kernels of their own",
            "Leave out engine=…",
        )
    return tuple(dict.fromkeys(pairs))


def groups(
    names: tuple[str, ...],
    resolutions: dict[str, tuple[int, ...]],
    batches: tuple[int, ...],
    mode: Mode,
    taken: tuple[Way, ...],
    precisions: tuple[Precision, ...],
    peers: dict[str, tuple[Source, ...]],
) -> list[list[Case]]:
    """Return the cases in groups, within which they alternate: ours in every way, and one peer's.

    Raises:
        InputError: native kernels for a forward pass or in bf16; an engine that does not train or lacks the precision.
    """
    engines = [engine for engine, _ in taken]
    if ("eager", "native") in taken and (mode != "train" or precisions != ("fp32",)):
        raise InputError(
            f"kernels='native' with mode={mode!r} and precision={', '.join(precisions)}",
            "mode='train' and precision='fp32': the native kernels are for training on CPUs",
            "Leave out kernels=…",
        )
    if mode == "train" and (inferring := [engine for engine in engines if engine in CONVERTED]):
        raise InputError(
            f"engine={inferring[0]!r} with mode='train'",
            "an engine that can train: 'eager' or 'compiled'",
            "Leave it out",
        )
    for engine, precision in itertools.product(engines, precisions):
        check_engine(engine, precision)
    cases = []
    for name in names:
        for batch, resolution, precision in itertools.product(batches, resolutions[name], precisions):
            ours = [Case(name, "residua", mode, engine, precision, batch, resolution, own) for engine, own in taken]
            for peer in peers[name] or (None,):
                # Peers have no native kernels, and Keras has its own backend.
                kinds: list[EngineName] = [engine for engine in engines if engine == "compiled" and peer != "keras"]
                if not kinds or set(engines) - {"compiled"}:
                    kinds.insert(0, "eager")
                cases.append(
                    ours + [Case(name, peer, mode, kind, precision, batch, resolution) for kind in kinds if peer]
                )
    return cases
