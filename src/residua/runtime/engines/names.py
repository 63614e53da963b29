"""The engines and the number formats that there are, by name: stated here alone, and without torch."""

from __future__ import annotations

from typing import Literal, get_args

from residua._base.errors import InputError, did_you_mean

EngineName = Literal["eager", "compiled", "native", "onnxruntime", "openvino"]
"""Each is a module of this folder with `open_here`; see `engine.open_engine`."""
Precision = Literal["fp32", "bf16", "int8"]
"""int8 is a form of the network that `residua export` makes, and that its gate let through."""

EngineChoice = Literal[EngineName, "auto"]
"""What a user asks for: "auto" is settled by `auto.open_fastest` before an engine is opened."""
CONVERTED: tuple[EngineName, ...] = ("onnxruntime", "openvino")
"""Runtimes of their own: they take the network as a graph, compute on CPUs and do not train."""

ENGINES: tuple[EngineName, ...] = get_args(EngineName)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def check_choice(name: str, precision: str) -> None:
    """Refuse what is neither "auto" nor an engine, or an unknown precision.

    Raises:
        InputError: names it and the nearest.
    """
    if name not in (*ENGINES, "auto"):
        known = (*ENGINES, "auto")
        raise InputError(f"engine={name!r}", f"one of {', '.join(map(repr, known))}", did_you_mean(name, known, 1))
    check_engine(name if name != "auto" else "openvino" if precision == "int8" else "eager", precision)


def check_engine(name: str, precision: str) -> None:
    """Refuse an engine or a precision that does not exist.

    Raises:
        InputError: names it and the nearest.
    """
    if name not in ENGINES:
        raise InputError(f"engine={name!r}", f"one of {', '.join(map(repr, ENGINES))}", did_you_mean(name, ENGINES, 1))
    if name == "onnxruntime" and precision == "bf16":
        raise InputError(
            "engine='onnxruntime' in bf16",
            "precision='fp32': its convolutions for CPUs have no bf16",
            "Leave out precision=…, or use engine='openvino'",
        )
    if name == "native" and precision != "fp32":
        raise InputError(
            f"engine='native' in {precision}", "precision='fp32', which its kernels have", "Use engine='openvino'"
        )
    if precision == "int8" and name not in CONVERTED:
        raise InputError(
            f"engine={name!r} in int8",
            f"engine={' or '.join(map(repr, CONVERTED))}, which compute in int8",
            "Use engine='openvino'",
        )
    if precision not in PRECISIONS:
        wanted = f"one of {', '.join(map(repr, PRECISIONS))}"
        raise InputError(f"precision={precision!r}", wanted, did_you_mean(precision, PRECISIONS, 1))
