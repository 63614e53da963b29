"""Stopping on request: SIGTERM and Ctrl-C end the run after the step at hand, with a checkpoint."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from residua._base.errors import ResiduaError
from residua.data.loader import Loader


class Interrupted(ResiduaError):
    """The run was asked to stop and has saved itself; `exit_code` is 130 (Ctrl-C) or 143 (SIGTERM)."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[type[Interrupted], tuple[str, int]]:
        return type(self), (str(self), self.exit_code)


class StopRequest:
    """Inside `with StopRequest() as stop`, the first signal sets `stop.signal`; a second Ctrl-C breaks off at once."""

    def __init__(self) -> None:
        self.signal = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._requested)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _requested(self, number: int, frame: FrameType | None) -> None:
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


class Stopped(Exception):
    """A signal came while something was under way that can be done again."""


class Interruptible:
    """A loader whose passes end with `Stopped` once a stop is requested."""

    def __init__(self, loader: Loader, stop: StopRequest) -> None:
        self.loader, self.stop = loader, stop

    def epoch(self, epoch: int) -> Iterator[Any]:
        """Yield the loader's batches until the signal comes."""
        for batch in self.loader.epoch(epoch):
            if self.stop.signal:
                raise Stopped
            yield batch
