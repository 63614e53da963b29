"""What a person sees on stderr of something long: a live line on a terminal; plain lines, or silence, elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn

from residua._base.words import visible, worded

if TYPE_CHECKING:  # rich is imported where something is shown: most commands start without it
    from rich.console import Console
    from rich.live import Live

Progress = Callable[[int, int], None]
"""Called with (done, in all); the second is 0 where it is not known."""

BYTES = "bytes"
_SMALL = 1_000_000  # bytes that nobody waits for
_PLAIN_EVERY_SECONDS = 30.0  # a log of an hour gets 120 lines
_LIVE_EVERY_SECONDS = 0.1  # ten times per second looks continuous


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
                print(f"Downloading {visible(task)}" + (f", {total / 1e6:,.1f} MB" if total else ""), file=sys.stderr)
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
        line = bar.add_task(visible(task), total=None)
        yield lambda done, total: bar.update(line, completed=done, total=total or None)


class Display:
    """Shows where a run stands. Use as a context manager.

    A stderr that is closed, or whose disk is full, ends what is shown and nothing else.

    Args:
        shown: False shows warnings only.
    """

    def __init__(self, shown: bool = True) -> None:
        self.console = _stderr_console()
        self.shown = shown
        self._lost = False
        self._live: Live | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Display:
        from rich.live import Live

        with self._while_stderr_lasts():
            if self.shown and sys.stderr is not None and sys.stderr.isatty():
                self._live = Live(console=self.console, auto_refresh=False, transient=True)
                self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        live, self._live = self._live, None
        if live:
            with self._while_stderr_lasts():
                live.stop()

    def say(self, text: str) -> None:
        """Print one line that stays."""
        if self.shown:
            self._print(text)

    def warn(self, text: str) -> None:
        """Print a warning, also when progress is switched off."""
        self._print(f"Warning: {worded(text)}")

    def due(self) -> bool:
        """Return whether it is time to show where the run stands."""
        interval = _LIVE_EVERY_SECONDS if self._live else _PLAIN_EVERY_SECONDS
        return self.shown and time.monotonic() - self._last >= interval

    def show(self, moment: object) -> None:
        """Show where the run stands: `str(moment)`, one line."""
        self._last = time.monotonic()
        if self._live is None:
            self.say(str(moment))
            return
        from rich.text import Text

        with self._while_stderr_lasts():
            self._live.update(Text(visible(str(moment)), no_wrap=True, overflow="ellipsis"), refresh=True)

    def _print(self, text: str) -> None:
        from rich.text import Text

        with self._while_stderr_lasts():
            if not self._lost:
                self.console.print(Text(visible(text)))

    @contextlib.contextmanager
    def _while_stderr_lasts(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):
            self._lost, self.shown, self._live = True, False, None


def _stderr_console() -> Console:
    from rich.console import Console

    class Ours(Console):
        def on_broken_pipe(self) -> NoReturn:
            # Rich would end the process.
            raise BrokenPipeError

    return Ours(stderr=True, highlight=False, soft_wrap=True)
