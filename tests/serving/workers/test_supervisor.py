"""The supervisor with processes that do what a test wants: none of its waits is without an end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from residua.serving.settings import Settings
from residua.serving.workers import supervisor
from residua.serving.workers.supervisor import Supervisor

FAKE = "serving.workers.fake_process"
TESTS = Path(__file__).parents[2]
Run = Callable[..., tuple[int, float]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a supervisor of one such engine process and one worker; return its exit code and the seconds."""

    def run(
        engine: str, *, ends: float | None = None, number: int = signal.SIGTERM, **settings: float
    ) -> tuple[int, float]:
        monkeypatch.setenv("PYTHONPATH", str(TESTS))
        monkeypatch.setattr(supervisor, "ENGINE", FAKE)
        monkeypatch.setattr(supervisor, "WORKER", FAKE)
        # The engine process is the first, the worker the second.
        monkeypatch.setenv("FAKE_PROCESS", engine)
        monkeypatch.setenv("FAKE_COUNT", str(tmp_path / "count"))
        began = time.monotonic()

        def end(models: object = None) -> None:
            if ends is not None:
                threading.Timer(ends, os.kill, (os.getpid(), number)).start()

        if engine == "hang":
            end()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            values = {"drain": 0.1, "grace": 0.0} | settings
            code = Supervisor({}, Settings(workers=1, **values), listener).run(end)  # type: ignore[arg-type]
        return code, time.monotonic() - began

    return run


def starts(folder: Path) -> int:
    """Return how many processes were started."""
    return (folder / "count").stat().st_size


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_server_whose_models_open(run: Run, number: int) -> None:
    code, seconds = run("hang", ends=0.5, number=number)
    assert code == 128 + number
    assert seconds < 10


def test_what_a_library_prints_is_no_report(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    """It goes to stderr, as logs do."""
    code, _ = run("live", ends=0.2)
    out, err = capfd.readouterr()
    assert (code, out) == (1, ""), "the fake worker dies of SIGTERM, and that counts as a request cut off"
    assert err.count("a library prints") == err.count("and writes") == 2


def test_an_engine_process_that_hangs_in_opening_again_ends_the_server(
    run: Run, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "_OPENING_SECONDS", 0.5)
    monkeypatch.setattr(supervisor, "_OPENING_FACTOR", 0.0)
    code, seconds = run("die live hang")
    assert code == 1
    assert seconds < 20
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    died = next(line for line in lines if line["event"] == "process_died")
    assert (died["process"], died["exit_code"]) == ("engine", 3)
    assert "has not opened its models within" in lines[-1]["reason"]


def test_a_healthy_process_outlives_a_short_stall(run: Run, tmp_path: Path) -> None:
    """A process reports every 0.5 s: less than that cannot be asked of it."""
    run("live live", ends=1.5, stall=0.01)
    assert starts(tmp_path) == 2


def test_a_silent_worker_is_started_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervisor, "_REPORTS", 1)
    run("live silent live", ends=2.5, stall=0.5)
    assert starts(tmp_path) == 3
    assert '"event": "process_silent", "process": "worker", "number": 1' in capfd.readouterr().err


def test_a_process_that_cannot_be_started_again_ends_the_server(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real, count = supervisor._start, iter(range(9))

    def start(module: str, handover: object) -> object:
        if next(count) == 2:
            raise OSError("no more processes")
        return real(module, handover)  # type: ignore[arg-type]

    monkeypatch.setattr(supervisor, "_start", start)
    code, seconds = run("die live")
    assert code == 1
    assert seconds < 20


def test_no_socket_in_a_folder_with_a_long_name(exported: Path, tmp_path: Path) -> None:
    """It is stated at once, not after the workers have waited for a minute."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    words = ["serve", f"a={exported}", "--workers", "2", "--port", "0"]
    environment = os.environ | {"TMPDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "residua", *words], env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert "Set TMPDIR" in done.stderr
