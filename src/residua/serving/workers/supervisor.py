"""The supervisor: starts the engine process and the workers, starts again what died, and lets all end in order."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from residua._base.errors import InputError, ResiduaError
from residua._base.subprocesses import python_module
from residua.serving.logs import log, start_logs
from residua.serving.settings import Settings
from residua.serving.workers.handover import ALIVE_SECONDS, Handover

ENGINE, WORKER = "residua.serving.workers.engine", "residua.serving.workers.worker"
"""The modules that the processes run."""
_TICK_SECONDS = 0.05
_WORKER_SECONDS = 60.0
_OPENING_SECONDS, _OPENING_FACTOR = 120.0, 10.0
"""An engine process that is started again must open its models in this time, or in this many times the first one's."""
_REPORTS = 10
"""Reports that a process may miss, at least, before it counts as hung."""
_SIGNALLED = 128
"""Added to the number of the signal that ends the server before it answers, as shells do."""
_PIECE = 1 << 16
_SPARE_SECONDS = 5.0
_MOST_STARTS, _WITHIN_SECONDS = 5, 60.0
"""More starts again than this within that time end the server: something is wrong for good."""


@dataclass
class _Child:
    """A process of ours.

    Attributes:
        process: itself.
        reports: the end of a pipe from which its reports are read, unbuffered.
        heard: when it last reported, in the time of `time.monotonic`.
        has_started: whether it has reported at all.
    """

    process: subprocess.Popen[bytes]
    reports: io.FileIO
    heard: float = field(default_factory=time.monotonic)
    has_started: bool = False

    @property
    def code(self) -> int | None:
        return self.process.poll()

    def line(self, until: float, stopped: Callable[[], bool]) -> dict[str, object]:
        """Return what it reports next; {} where it ends, `until` passes, or a signal asks to stop."""
        # Short waits: after a signal, Python goes on with a wait as if nothing had come.
        while not stopped() and time.monotonic() < until:
            if select.select([self.reports], [], [], _TICK_SECONDS)[0]:
                text = self.reports.readline()
                self.heard, self.has_started = time.monotonic(), True
                document: dict[str, object] = json.loads(text) if text else {}
                return document
        return {}

    def silent_for(self) -> float:
        """Return the seconds since it last reported that it is alive."""
        while select.select([self.reports], [], [], 0)[0] and self.reports.read(_PIECE):
            self.heard, self.has_started = time.monotonic(), True
        return time.monotonic() - self.heard

    def end(self) -> None:
        """Stop it at once, and close the pipes to it."""
        self.process.kill()
        self.process.wait()
        self.reports.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


class Supervisor:
    """Several processes behind one listener.

    Args:
        sources: where the models lie, by name and version.
        settings: of the server, with the number of workers.
        listener: the socket that listens; all workers accept from it.
    """

    def __init__(
        self, sources: Mapping[str, Mapping[str, Path | str]], settings: Settings, listener: socket.socket
    ) -> None:
        self._settings, self._listener = settings, listener
        self._sources = {
            name: {number: _lasting(source) for number, source in versions.items()}
            for name, versions in sources.items()
        }
        self._stopped_by: int | None = None
        self._opening_seconds = _OPENING_SECONDS
        self._children: list[_Child] = []
        self._starts: deque[float] = deque()

    def run(self, announce: Callable[[list[tuple[str, str]]], None]) -> int:
        """Serve until a signal comes; return the exit code.

        Args:
            announce: called with name and version of each model, when requests are answered.

        Raises:
            InputError: a model that cannot be opened.
        """
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        folder = tempfile.TemporaryDirectory(prefix="residua-")
        self._socket = Path(folder.name) / "engine"
        children = self._children
        began = time.monotonic()
        try:
            models = self._open_engine(math.inf)
            self._opening_seconds = max(_OPENING_SECONDS, _OPENING_FACTOR * (time.monotonic() - began))
            if models is not None:
                for _ in range(self._settings.workers):
                    children.append(self._start_worker())
                for worker in children[1:]:
                    if not worker.line(time.monotonic() + _WORKER_SECONDS, self._is_stopped) and not self._is_stopped():
                        raise InputError(
                            "a worker that did not start",
                            "workers that do",
                            "Read its lines above, or use workers=1",
                        )
            if self._stopped_by is not None or models is None:
                return _SIGNALLED + int(self._stopped_by or 0)
            start_logs()
            announce(models)
            return self._watch()
        finally:
            for child in children:
                child.end()
            folder.cleanup()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _is_stopped(self) -> bool:
        return self._stopped_by is not None

    def _open_engine(self, seconds: float) -> list[tuple[str, str]] | None:
        """Start the engine process; return its models when they are open, None where a signal comes first."""
        self._socket.unlink(missing_ok=True)
        child = _start(ENGINE, Handover(self._settings, self._sources, self._socket))
        # At once, so that a second Ctrl-C finds it.
        for before in self._children[:1]:
            before.end()
        self._children[:1] = [child]
        stated = child.line(time.monotonic() + seconds, self._is_stopped)
        if self._is_stopped():
            return None
        if "models" not in stated:
            refusal = stated.get("refusal")
            if isinstance(refusal, list):
                raise InputError(*refusal)
            late = child.code is None and child.silent_for() >= seconds
            child.process.kill()
            child.process.wait()
            if late:
                raise ResiduaError(f"The engine process has not opened its models within {seconds:.0f} s")
            raise ResiduaError(f"The engine process ended with exit code {child.code}")
        models = stated["models"]
        assert isinstance(models, list)
        return [(name, version) for name, version in models]

    def _start_worker(self) -> _Child:
        handover = Handover(self._settings, {}, self._socket, self._listener.fileno())
        return _start(WORKER, handover)

    def _watch(self) -> int:
        children = self._children
        # A process reports every ALIVE_SECONDS: less than some reports' time would end one that is well.
        stall = max(self._settings.stall, _REPORTS * ALIVE_SECONDS)
        while self._stopped_by is None:
            time.sleep(_TICK_SECONDS)
            for at, child in enumerate(children):
                role = {"process": "worker", "number": at} if at else {"process": "engine"}
                silent = child.silent_for()
                if silent > (stall if child.has_started else max(stall, _WORKER_SECONDS)) and child.code is None:
                    log("process_silent", **role, seconds=round(silent, 1))
                    child.process.kill()
                    child.process.wait()
                if child.code is None or self._stopped_by is not None:
                    continue
                log("process_died", **role, exit_code=child.code)
                if not self._may_start():
                    log("fatal", reason="processes die again and again")
                    self._drain(children)
                    return 1
                try:
                    self._start_again(at)
                except (ResiduaError, OSError) as error:
                    log("fatal", reason=str(error))
                    self._drain(children)
                    return 1
        return self._drain(children)

    def _start_again(self, at: int) -> None:
        if at == 0:
            self._open_engine(self._opening_seconds)
        else:
            fresh = self._start_worker()
            self._children[at].end()
            self._children[at] = fresh

    def _may_start(self) -> bool:
        now = time.monotonic()
        while self._starts and self._starts[0] < now - _WITHIN_SECONDS:
            self._starts.popleft()
        self._starts.append(now)
        return len(self._starts) <= _MOST_STARTS

    def _drain(self, children: list[_Child]) -> int:
        """Let the workers end within the time to drain, then the engine process; return the exit code."""
        engine, *workers = children
        number = self._stopped_by or signal.SIGTERM
        for worker in workers:
            worker.process.send_signal(number)
        bound = time.monotonic() + self._settings.drain + self._settings.grace + _SPARE_SECONDS
        codes = []
        for worker in workers:
            try:
                codes.append(worker.process.wait(max(0.0, bound - time.monotonic())))
            except subprocess.TimeoutExpired:
                codes.append(1)
        engine.process.kill()
        return 1 if any(codes) else 0

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._stopped_by is not None and number == signal.SIGINT:
            # A second Ctrl-C breaks off.
            for child in self._children:
                child.process.kill()
        self._stopped_by = number


def _start(module: str, handover: Handover) -> _Child:
    command, environment = python_module(module)
    read, write = os.pipe()
    reports = io.FileIO(read, "rb")
    passed = [write, *([handover.listener] if handover.listener >= 0 else [])]
    try:
        # In a session of its own, a process does not get the terminal's Ctrl-C; what it should get, it is sent.
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            # Reports have a pipe of their own: what a library prints there would be no report.
            stdout=2,
            pass_fds=passed,
            bufsize=0,
            start_new_session=True,
        )
    except OSError:
        reports.close()
        raise
    finally:
        os.close(write)
    child = _Child(process, reports)
    assert process.stdin is not None
    try:
        process.stdin.write(dataclasses.replace(handover, reports=write).to_line())
    except OSError:
        child.end()
        raise
    return child


def _lasting(source: Path | str) -> str:
    """Return a source that means the same from every folder."""
    return os.path.abspath(source) if Path(source).exists() else str(source)
