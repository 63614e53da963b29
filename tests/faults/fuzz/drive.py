"""Feed damaged inputs to a reader and collect what it must not do."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from faults.fuzz.mutate import damaged

SLOWEST = 10.0
"""Seconds that one damaged input may take, on a busy machine too."""


@dataclass(frozen=True)
class Target:
    """A reader under test.

    Attributes:
        sound: returns small inputs that the reader accepts.
        read: reads one input from bytes.
        allowed: exceptions by which the reader refuses an input; any other one is a failure.
    """

    sound: Callable[[], Sequence[bytes]]
    read: Callable[[bytes], Any]
    allowed: tuple[type[Exception], ...]


@dataclass
class Outcome:
    """What came of a series of damaged inputs.

    Attributes:
        inputs: how many were tried.
        accepted: how many the reader took for sound.
        slowest: seconds that the slowest took.
        failures: (number of the input, what happened), at most 20.
    """

    inputs: int = 0
    accepted: int = 0
    slowest: float = 0.0
    failures: list[tuple[int, str]] = field(default_factory=list)


def drive(target: Target, seed: int, *, count: int = 1 << 62, seconds: float = float("inf")) -> Outcome:
    """Try `count` damaged inputs, or as many as fit in `seconds`; sound inputs must be accepted first.

    Raises:
        AssertionError: the reader refuses a sound input, so that damage to it would prove nothing.
    """
    sound = list(target.sound())
    for number, data in enumerate(sound):
        try:
            target.read(data)
        except target.allowed as error:
            raise AssertionError(f"sound input {number} is refused: {error}") from error
    outcome = Outcome()
    end = time.monotonic() + seconds
    for number, data in enumerate(damaged(sound, seed)):
        if number >= count or time.monotonic() >= end or len(outcome.failures) == 20:
            break
        began = time.monotonic()
        try:
            target.read(data)
            outcome.accepted += 1
        except target.allowed:
            pass
        except Exception:
            outcome.failures.append((number, traceback.format_exc(limit=-3)))
        took = time.monotonic() - began
        if took > SLOWEST:
            outcome.failures.append((number, f"took {took:.1f} s"))
        outcome.inputs += 1
        outcome.slowest = max(outcome.slowest, took)
    return outcome
