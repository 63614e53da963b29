"""Stopping on request: SIGTERM and Ctrl-C end the run after the current step, with a checkpoint."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Protocol

from residua._base.errors import ResiduaError


class Interrupted(ResiduaError):
    """The run was asked to stop and has saved itself; `exit_code` is 130 (Ctrl-C) or 143 (SIGTERM)."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[type[Interrupted], tuple[str, int]]:
        return type(self), (str(self), self.exit_code)


class Termination(KeyboardInterrupt):
    """SIGTERM came. As after Ctrl-C, all that was begun is cleaned up, and no `except Exception` holds it."""


def stop_on_sigterm() -> None:
    """Raise `Termination` in the main thread when SIGTERM comes, so that files half written are removed.

    Who ignores SIGTERM goes on ignoring it. A second one is ignored: `timeout` sends it to the process and to its
    group. A process that was forked ends at once, as before: what was begun is its parent's to clean up.
    """
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    owner, came = os.getpid(), False

    def terminated(number: int, frame: FrameType | None) -> None:
        nonlocal came
        if os.getpid() != owner:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not came:
            came = True
            raise Termination

    signal.signal(signal.SIGTERM, terminated)


class StopRequest:
    """SIGTERM and Ctrl-C, inside `with StopRequest(command) as stop`.

    Before `stop.wait()` is called there is nothing to save: the first signal raises `Interrupted` at once. From then on
    it sets `stop.signal`, and a second Ctrl-C breaks off.

    Args:
        command: the command that goes on with the run; "" where there is nothing to go on with.
    """

    def __init__(self, command: str) -> None:
        self.signal = 0
        self._command, self._waiting = command, False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._requested)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self) -> None:
        """Let the run look at `signal` from here on, where it can stop."""
        self._waiting = True

    def check(self, *_: object) -> None:
        """Raise `Stopped` if a signal came; the arguments of a callback are ignored."""
        if self.signal:
            raise Stopped

    def interrupted(self, number: int, state: str) -> Interrupted:
        """Return the error that names the signal, the state of the run, and the command to go on with."""
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        on = f". Go on with:\n  {self._command}" if self._command else ""
        return Interrupted(f"Stopped by {name} {state}{on}", 128 + number)

    def _requested(self, number: int, frame: FrameType | None) -> None:
        if not self._waiting:
            raise self.interrupted(number, "while it made ready: nothing is lost")
        if self.signal and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


class Stopped(Exception):
    """A signal came while something was under way that can be done again."""


class _Batches(Protocol):
    def epoch(self, epoch: int, /) -> Iterator[Any]: ...


class Interruptible:
    """A loader whose passes end with `Stopped` once a stop is requested."""

    def __init__(self, loader: _Batches, stop: StopRequest) -> None:
        self.loader, self.stop = loader, stop

    def epoch(self, epoch: int, /) -> Iterator[Any]:
        """Yield the loader's batches until the signal comes."""
        for batch in self.loader.epoch(epoch):
            self.stop.check()
            yield batch
