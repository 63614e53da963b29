"""What is printed of the jobs of a grid while they run, and why some failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from residua._base.run_files import HISTORY_FILE
from residua._base.words import clock

if TYPE_CHECKING:
    from residua.grids.jobs import Job

_REPORT_SECONDS = 30.0  # as often as a bar is written where there is no terminal


class Account:
    """Counts the jobs that have ended.

    Args:
        jobs: all of them.
        say: prints a line.

    Attributes:
        failed: why a job failed, by its name.
    """

    def __init__(self, jobs: Sequence[Job], say: Callable[[str], None]) -> None:
        self.failed: dict[str, str] = {}
        self._say, self._count, self._ended = say, len(jobs), 0
        self._total, self._done = sum(job.work for job in jobs), 0.0
        self._began = self._reported = time.monotonic()

    def end(self, job: Job, seconds: float, reason: str) -> None:
        """Take note that a job has ended after so many seconds, "" or why it failed; print a line."""
        self._ended += 1
        self._done += job.work
        if reason:
            self.failed[job.name] = reason
            self._say(f"{job.name} failed ({self._ended} of {self._count}): {reason}")
            return
        left = (time.monotonic() - self._began) * (self._total - self._done) / max(self._done, 1e-9)
        ahead = f"about {clock(left)} left" if self._ended < self._count else "all done"
        self._say(f"{job.name} took {clock(seconds)} ({self._ended} of {self._count}; {ahead})")

    def show(self, running: Iterable[Job]) -> None:
        """Print now and then how far the running jobs are."""
        if time.monotonic() - self._reported > _REPORT_SECONDS and (moments := [_moment(job) for job in running]):
            self._reported = time.monotonic()
            self._say("; ".join(moments))


def _moment(job: Job) -> str:
    try:
        epochs = len((job.folder / HISTORY_FILE).read_text(encoding="utf-8").splitlines())
    except OSError:
        epochs = 0
    return f"{job.name} after epoch {epochs}" + (
        f" of {job.recipe.epochs}" if job.recipe.epochs and not job.recipe.min_steps else ""
    )
