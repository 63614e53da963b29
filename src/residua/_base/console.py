"""One live line on a terminal while something long runs; silence elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from residua._base.words import visible

Progress = Callable[[int, int], None]
"""Called with (done, in all)."""

BYTES = "bytes"
_SMALL = 1_000_000  # bytes that nobody waits for


@contextlib.contextmanager
def progress_bar(task: str, unit: str) -> Iterator[Progress]:
    """Yield a function of (done, in all) that keeps one live line on stderr.

    Where stderr is no terminal, a download prints once that it has begun; other tasks are silent.

    Args:
        task: what is being done.
        unit: what is counted; `BYTES` are those of a download, shown as sizes with their speed.
    """
    task = visible(task)
    if not sys.stderr.isatty():
        announced = unit != BYTES

        def announce(done: int, total: int) -> None:
            nonlocal announced
            if not announced and not 0 < total < _SMALL:
                print(f"Downloading {task}" + (f", {total / 1e6:,.1f} MB" if total else ""), file=sys.stderr)
            announced = True

        yield announce
        return
    from rich import progress
    from rich.console import Console

    counts: tuple[progress.ProgressColumn, ...] = (progress.MofNCompleteColumn(), progress.TextColumn(unit))
    if unit == BYTES:
        counts = (progress.DownloadColumn(), progress.TransferSpeedColumn())
    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        *counts,
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        line = bar.add_task(task, total=None)
        yield lambda done, total: bar.update(line, completed=done, total=total or None)
