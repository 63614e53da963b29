"""The supervisor: starts the engine process and the workers, starts again what died, and lets all end in order."""

from __future__ import annotations

import json
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
from residua.serving.workers.handover import Handover

_TICK_SECONDS = 0.05
_WORKER_SECONDS = 60.0
_PIECE = 1 << 16
_SPARE_SECONDS = 5.0
_MOST_STARTS, _WITHIN_SECONDS = 5, 60.0
"""More starts again than this within that time end the server: something is wrong for good."""


@dataclass
class _Child:
    """A process of ours."""

    process: subprocess.Popen[bytes]
    heard: float = field(default_factory=time.monotonic)

    @property
    def code(self) -> int | None:
        return self.process.poll()

    def line(self, seconds: float | None) -> dict[str, object]:
        """Return what it reports next; {} where it ends or takes too long."""
        pipe = self.process.stdout
        assert pipe is not None
        if not select.select([pipe], [], [], seconds)[0]:
            return {}
        text = pipe.readline()
        document: dict[str, object] = json.loads(text) if text else {}
        return document

    def silent_for(self) -> float:
        """Return the seconds since it last reported that it is alive."""
        pipe = self.process.stdout
        assert pipe is not None
        while select.select([pipe], [], [], 0)[0] and pipe.read(_PIECE):
            self.heard = time.monotonic()
        return time.monotonic() - self.heard


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
        try:
            engine, models = self._start_engine()
            children.append(engine)
            workers = [self._start_worker() for _ in range(self._settings.workers)]
            children += workers
            for worker in workers:
                if not worker.line(_WORKER_SECONDS):
                    raise InputError("a worker that did not start", "workers that do", "Its log has the reason")
            start_logs()
            announce(models)
            return self._watch(children)
        finally:
            for child in children:
                child.process.kill()
                child.process.wait()
            folder.cleanup()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start_engine(self) -> tuple[_Child, list[tuple[str, str]]]:
        self._socket.unlink(missing_ok=True)
        handover = Handover(self._settings, self._sources, self._socket)
        child = _start("residua.serving.workers.engine", handover)
        stated = child.line(None)
        if "models" not in stated:
            child.process.kill()
            child.process.wait()
            refusal = stated.get("refusal")
            if isinstance(refusal, list):
                raise InputError(*refusal)
            raise ResiduaError(f"The engine process ended with exit code {child.code}")
        models = stated["models"]
        assert isinstance(models, list)
        return child, [(name, version) for name, version in models]

    def _start_worker(self) -> _Child:
        handover = Handover(self._settings, {}, self._socket, self._listener.fileno())
        return _start("residua.serving.workers.worker", handover)

    def _watch(self, children: list[_Child]) -> int:
        while self._stopped_by is None:
            time.sleep(_TICK_SECONDS)
            if children[0].silent_for() > self._settings.stall:
                log("engine_silent", seconds=self._settings.stall)
                children[0].process.kill()
                children[0].process.wait()
            for at, child in enumerate(children):
                if child.code is None or self._stopped_by is not None:
                    continue
                log("process_died", worker=at, exit_code=child.code)
                if not self._may_start():
                    log("fatal", reason="processes die again and again")
                    self._drain(children)
                    return 1
                try:
                    children[at] = self._start_engine()[0] if at == 0 else self._start_worker()
                except ResiduaError as error:
                    log("fatal", reason=str(error))
                    self._drain(children)
                    return 1
        return self._drain(children)

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
    passed = [handover.listener] if handover.listener >= 0 else []
    # In a session of its own, a process does not get the terminal's Ctrl-C: the supervisor passes on what it should.
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=passed,
        bufsize=0,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(handover.to_line())
    return _Child(process)


def _lasting(source: Path | str) -> str:
    """Return a source that means the same from every folder."""
    return os.path.abspath(source) if Path(source).exists() else str(source)
