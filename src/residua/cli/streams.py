"""The command's own streams: what cannot be shown stops no work, and what cannot be printed is said once."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any, TextIO


class StdoutError(OSError):
    """Standard output takes nothing more, for another reason than that its reader has left."""


class _Results(io.FileIO):
    """Standard output: a refused write is told apart from those to files."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content) or 0
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StdoutError(error.errno, error.strerror) from error


class _Notes(io.FileIO):
    """Standard error: a terminal that was closed, or a full disk behind it, ends no training of hours."""

    def write(self, content: Any, /) -> int:
        with contextlib.suppress(OSError):
            super().write(content)
        return len(content)


def settle_streams() -> None:
    """Make the process's streams fit for a command that may run for days.

    A closed descriptor is opened on the null device. Else the next file to be opened would take its number, and
    whatever prints would write into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    sys.stdout = _text(_Results(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Notes(2, "w", closefd=False), sys.stderr)


def discard(stream: TextIO) -> None:
    """Lead a stream that takes nothing more to the null device, so that the interpreter's last flush succeeds."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _text(raw: io.FileIO, before: TextIO | None) -> TextIO:
    """Return a text stream in the encoding of the one before. What no encoding holds is shown escaped."""
    encoding = before.encoding if before else "utf-8"
    lines = raw.fileno() == 2 or raw.isatty()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors="backslashreplace", line_buffering=lines, newline="\n"
    )
