"""What a person sees of a run: one live line on a terminal, plain lines elsewhere; all of it on stderr."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.text import Text

from residua._base.wording import worded
from residua._base.words import visible

_PLAIN_EVERY_SECONDS = 30.0
_LIVE_EVERY_SECONDS = 0.1


@dataclass(frozen=True)
class Moment:
    """Where a run stands.

    Attributes:
        epoch: being trained, counted from 1.
        epochs: in all.
        step: optimizer steps done.
        steps: in all.
        loss: mean training loss of the epoch so far.
        val_top1: validation accuracy after the epoch before, fraction of 1; None before the first.
        images_per_second: of training, in this epoch.
        seconds_left: estimated.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    val_top1: float | None
    images_per_second: float
    seconds_left: float

    def __str__(self) -> str:
        accuracy = "-" if self.val_top1 is None else f"{self.val_top1:.1%}"
        return (
            f"epoch {self.epoch}/{self.epochs}  step {self.step}/{self.steps}  loss {self.loss:.4f}  "
            f"val {accuracy}  {self.images_per_second:,.0f} images/s  ETA {clock(self.seconds_left)}"
        )


class Display:
    """Shows the moments of a run. Use as a context manager.

    Args:
        shown: False keeps silent, warnings excepted.
    """

    def __init__(self, shown: bool = True) -> None:
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.shown = shown
        self._live: Live | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Display:
        if self.shown and sys.stderr.isatty():
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()
            self._live = None

    def say(self, text: str) -> None:
        """Print one line that stays."""
        if self.shown:
            self._print(text)

    def warn(self, text: str) -> None:
        """Print a warning, also when progress is switched off."""
        self._print(f"Warning: {worded(text)}")

    def due(self) -> bool:
        """Whether it is time for another moment."""
        interval = _LIVE_EVERY_SECONDS if self._live else _PLAIN_EVERY_SECONDS
        return self.shown and time.monotonic() - self._last >= interval

    def show(self, moment: Moment) -> None:
        """Show where the run stands."""
        self._last = time.monotonic()
        if self._live:
            self._live.update(Text(visible(str(moment)), no_wrap=True, overflow="ellipsis"), refresh=True)
        else:
            self.say(str(moment))

    def _print(self, text: str) -> None:
        self.console.print(Text(visible(text)))


def clock(seconds: float) -> str:
    """Return a duration as 0:42, 12:05 or 3:00:07."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
