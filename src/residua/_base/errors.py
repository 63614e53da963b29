"""Errors that state what was given, what was wanted and what to do."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


class ResiduaError(Exception):
    """Base of every error that Residua raises on purpose; the command exits with `exit_code`."""

    exit_code = 2


class InputError(ResiduaError, ValueError):
    """Input that cannot be used.

    Args:
        given: what was received, quoting the offender.
        wanted: what would have been accepted.
        remedy: what to do now; a command where there is one. "" where `wanted` lists all that can be given.
    """

    def __init__(self, given: str, wanted: str, remedy: str) -> None:
        self.given, self.wanted, self.remedy = given, wanted, remedy
        parts = (f"Given: {given}", f"Wanted: {wanted}", remedy)
        super().__init__(" ".join(_sentence(part) for part in parts if part))

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        return type(self), (self.given, self.wanted, self.remedy)


class Damaged(InputError):
    """A file that Residua wrote and that is not as it was written.

    What can be made again is made again, and `reason` is stated; the rest is refused.

    Args:
        path: the file.
        reason: what is wrong with it.
        absent: whether there is no such file.
        remedy: what to do, where repeating the command that wrote it does not help.
    """

    def __init__(self, path: Path, reason: str, *, absent: bool = False, remedy: str = "") -> None:
        self.path, self.reason, self.absent = path, reason, absent
        super().__init__(
            f"{path}, which cannot be used: {reason}",
            "the file as Residua wrote it",
            remedy or "Restore it from a copy, or repeat the command that wrote it",
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(Damaged, absent=self.absent, remedy=self.remedy), (self.path, self.reason)


class AnswerNo(ResiduaError):
    """The command ran, and its answer is no: a receipt failed, a file was bad, a gate did not hold."""

    exit_code = 1


class Notice(UserWarning):
    """A line that a person should see, and no warning: the command prints it as it is."""


def at_least_one(**numbers: object) -> None:
    """Refuse anything but whole numbers of at least 1; the keywords are the names of the parameters.

    Raises:
        InputError: names the first that is none.
    """
    for name, value in numbers.items():
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{name}={value!r}", "a whole number, 1 and more", "Leave it out for the default")


def nearest(name: str, known: Iterable[str], count: int = 3, least: float = 0.3) -> list[str]:
    """Return up to `count` of the `known` names that look most like `name`, best first; case does not count.

    Args:
        name: as it was given.
        known: to choose from.
        count: at most so many.
        least: the share of letters that they have in common, 0 to 1.
    """
    spelt = {each.casefold(): each for each in known}
    return [spelt[each] for each in difflib.get_close_matches(str(name).casefold(), spelt, n=count, cutoff=least)]


def did_you_mean(name: str, known: Iterable[str], count: int = 3, least: float = 0.5) -> str:
    """Return "Did you mean a, b or c?", or "" when nothing comes near; see `nearest`."""
    return ask_whether(nearest(name, known, count, least))


def ask_whether(candidates: Sequence[str]) -> str:
    """Return "Did you mean a, b or c?", or "" without candidates."""
    if not candidates:
        return ""
    return (
        f"Did you mean {' or '.join([', '.join(candidates[:-1]), candidates[-1]] if candidates[1:] else candidates)}?"
    )


def _sentence(text: str) -> str:
    text = text.strip()
    if not text.startswith("residua "):  # a command is pasted as it stands
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!", ":")) else text + "."
