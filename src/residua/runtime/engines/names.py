"""The engines and the number formats that there are, by name: stated here alone, and without torch."""

from __future__ import annotations

from typing import Literal, get_args

from residua._base.errors import InputError, did_you_mean

EngineName = Literal["eager", "compiled"]
"""Each is a module of this folder with `open_here`; see `engine.open_engine`."""
Precision = Literal["fp32", "bf16"]

ENGINES: tuple[EngineName, ...] = get_args(EngineName)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def check_engine(name: str, precision: str) -> None:
    """Refuse an engine or a precision that does not exist.

    Raises:
        InputError: names it and the nearest.
    """
    if name not in ENGINES:
        raise InputError(f"engine={name!r}", f"one of {', '.join(map(repr, ENGINES))}", did_you_mean(name, ENGINES, 1))
    if precision not in PRECISIONS:
        wanted = f"one of {', '.join(map(repr, PRECISIONS))}"
        raise InputError(f"precision={precision!r}", wanted, did_you_mean(precision, PRECISIONS, 1))
