"""A file of answers that is being written, in step with its journal."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.files import sync, writing
from residua._base.lock import if_free
from residua.inference.answers.journal import START, State, check_job, journal_of, line_of, partial_of, read_journal

_EVERY_SECONDS = 2.0


class Partial:
    """Rows that were written, and the journal that counts them; made by `opened`.

    Attributes:
        out: the file that appears when all rows are there.
        state: of all that was added; the disk may be some seconds behind.
        resumed: files that an earlier process had answered.
    """

    def __init__(self, out: Path, job: dict[str, Any]) -> None:
        self.out = out
        self._rows_path, self._journal_path = partial_of(out), journal_of(out)
        size = self._rows_path.stat().st_size if self._rows_path.exists() else 0
        journal = read_journal(self._journal_path, size)
        if journal is not None:
            check_job(journal, job, out)
        elif size:
            raise InputError(
                f"{self._rows_path}, which is no file of Residua's: {self._journal_path} does not describe it",
                "a name beside which nothing stands",
                "Delete it, or give a different out",
            )
        self.state: State = START.copy() if journal is None else journal.state
        self.resumed = self.state["files"]
        self._journal = open(self._journal_path, "ab")  # noqa: SIM115 (closed by `opened`)
        os.truncate(self._journal.fileno(), 0 if journal is None else journal.size)
        if journal is None:
            # Before the first row: rows without a journal are a stranger's.
            self._note(job)
        self._rows = open(self._rows_path, "ab")  # noqa: SIM115
        os.truncate(self._rows.fileno(), self.state["size"])
        self._hash = hashlib.sha256()
        self._before = self.state["seconds"]
        self._started = self._saved = time.monotonic()

    def skip(self, paths: Iterator[str]) -> None:
        """Take the paths that were answered before from `paths`.

        Raises:
            InputError: they are different ones now, or more than those of a job that is done.
        """
        self._hash = skipped(self.out, self.state, paths)

    def begin(self, header: str) -> None:
        """Write what stands in front of the first row, where nothing was written before."""
        if not self.state["size"] and header:
            self._add([header])

    def add(self, paths: Iterable[str], lines: Iterable[str], bad: int) -> None:
        """Add the rows of a batch: its paths, and a line for each of them that has one."""
        count = 0
        for path in paths:
            self._hash.update(_marked(path))
            count += 1
        self._add(lines)
        self.state["files"] += count
        self.state["bad"] += bad
        if time.monotonic() - self._saved >= _EVERY_SECONDS:
            self.save()

    def save(self, *, done: bool = False) -> None:
        """Wait until the disk holds all rows, then note that in the journal."""
        with writing(self.out):
            self._rows.flush()
            os.fsync(self._rows.fileno())
            self.state["paths"], self.state["done"] = self._hash.hexdigest(), done
            self.state["seconds"] = round(self._before + time.monotonic() - self._started, 3)
            self._note(self.state)
        self._saved = time.monotonic()

    def close(self) -> None:
        """Close the files, which stay."""
        with contextlib.suppress(OSError):  # Rows that the disk has no room for are not counted as written.
            self._rows.close()
        self._journal.close()

    def _note(self, value: State | dict[str, Any]) -> None:
        self._journal.write(line_of(value))
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def _add(self, lines: Iterable[str]) -> None:
        content = "".join(f"{line}\n" for line in lines).encode()
        with writing(self.out):
            self._rows.write(content)
        self.state["size"] += len(content)


@contextlib.contextmanager
def opened(out: Path, job: dict[str, Any]) -> Iterator[Partial]:
    """Begin a file of answers, or go on with one that was begun with the same job.

    Args:
        out: the file to write in the end, which `alone` holds.
        job: what decides the answers, by name, as JSON values.

    Raises:
        InputError: it was begun with another job; the disk refuses.
    """
    with writing(out):
        partial = Partial(out, job)
    try:
        yield partial
    finally:
        partial.close()


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """Hold a file of answers for this process alone.

    Raises:
        InputError: another process writes it; the disk refuses.
    """
    with contextlib.ExitStack() as held:
        with writing(out):
            free = held.enter_context(if_free(journal_of(out)))
        if not free:
            raise InputError(
                f"{out}, which another process writes", "a file for each", "Wait until it ends, or give a different out"
            )
        yield


def skipped(out: Path, state: State, paths: Iterator[str]) -> hashlib._Hash:
    """Take the paths that `state` counts from `paths`, and return the hash of them, to be continued.

    Raises:
        InputError: they are different ones, or more than those of a job that is done.
    """
    digest = hashlib.sha256()
    for _ in range(state["files"]):
        path = next(paths, None)
        if path is None:
            break
        digest.update(_marked(path))
    same = digest.hexdigest() == state["paths"]
    if not same or (state["done"] and next(paths, None) is not None):
        begun = [str(each) for each in (out, partial_of(out), journal_of(out)) if each.exists()]
        what = "are not those" if not same else "are all those"
        raise InputError(
            f"paths of which the first {state['files']:,} {what} that {begun[0]} answers",
            "the same files in the same order",
            f"Give them, or delete {' and '.join(begun)} to begin again",
        )
    return digest


def publish(out: Path) -> None:
    """Give the partial file, all of whose rows are on the disk, its own name."""
    with writing(out):
        os.replace(partial_of(out), out)
        sync(out.absolute().parent)
        journal_of(out).unlink(missing_ok=True)


def _marked(path: str) -> bytes:
    return os.fsencode(path) + b"\0"
