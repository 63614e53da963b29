"""What a person sees on stderr of something long: a live line on a terminal; plain lines, or silence, elsewhere."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NoReturn, TextIO

from residua._base.words import visible, worded, wrapped

if TYPE_CHECKING:  # rich is imported where something is shown: most commands start without it
    from rich.console import Console
    from rich.live import Live

Progress = Callable[[int, int], None]
"""Called with (done, in all); the second is 0 where it is not known."""

BYTES = "bytes"
_NARROWEST = 20  # characters of a line: a terminal that states fewer is taken for this wide
_BAR, _BETWEEN = 20, "  "  # characters of a bar; what stands between the fields of a line
_SMALL = 1_000_000  # bytes that nobody waits for
_PLAIN_EVERY_SECONDS = 30.0  # a log of an hour gets 120 lines
_LIVE_EVERY_SECONDS = 0.1  # ten times per second looks continuous


def terminal_width(stream: TextIO | None) -> int | None:
    """Return the characters of a line of the terminal that a stream writes to; None where it writes to no terminal."""
    try:
        if stream is None or not stream.isatty():
            return None
    except ValueError:  # closed
        return None
    return max(shutil.get_terminal_size().columns, _NARROWEST)


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
        silent: shows nothing at all.
    """

    def __init__(self, shown: bool = True, *, silent: bool = False) -> None:
        self.console = _stderr_console()
        self.shown = shown and not silent
        self._lost = silent
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

    @property
    def live(self) -> bool:
        """Whether there is a terminal, with a live line below what stays."""
        return self._live is not None

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

        line = _with_bar(visible(str(moment)), getattr(moment, "share", None), self.console.width)
        with self._while_stderr_lasts():
            self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)

    def _print(self, text: str) -> None:
        from rich.text import Text

        with self._while_stderr_lasts():
            if not self._lost:
                self.console.print(Text(wrapped(visible(text), terminal_width(sys.stderr))))

    @contextlib.contextmanager
    def _while_stderr_lasts(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):
            self._lost, self.shown, self._live = True, False, None


def _with_bar(line: str, share: float | None, width: int) -> str:
    """Return a line with a bar before it, as far as it fits; of a longer line whole fields are left out at the end."""
    fields = line.split(_BETWEEN)
    while len(fields) > 1 and len(_BETWEEN.join(fields)) > width - 1:
        fields.pop(-2)  # the last one is the time that is left
    shown = _BETWEEN.join(fields)
    room = min(_BAR, width - 1 - len(shown) - len(_BETWEEN))
    if share is None or room < 4:
        return shown
    full = round(room * min(max(share, 0.0), 1.0))
    return "━" * full + "·" * (room - full) + _BETWEEN + shown


def _stderr_console() -> Console:
    from rich.console import Console

    class Ours(Console):
        def on_broken_pipe(self) -> NoReturn:
            # Rich would end the process.
            raise BrokenPipeError

    return Ours(stderr=True, highlight=False, soft_wrap=True)
