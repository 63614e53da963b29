"""SIGTERM ends every command as Ctrl-C does: nothing is left half written, and the exit code is 143."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exporting.runs import digits_run

_COMMAND = [sys.executable, "-P", "-m", "residua"]
_SECONDS = 180.0


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_run(tmp_path_factory.mktemp("sigterm") / "run")


def _end_when(words: list[str], begun: Callable[[], bool], signals: int = 1) -> tuple[int, str]:
    """Start a command, send it SIGTERM once `begun` holds, and return its exit code and standard error."""
    with subprocess.Popen(_COMMAND + words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            until = time.monotonic() + _SECONDS
            while not begun():
                assert process.poll() is None, "the command ended before it could be stopped"
                assert time.monotonic() < until, "the command began nothing"
                time.sleep(0.002)
            for _ in range(signals):
                process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=_SECONDS)
        finally:
            process.kill()
    return process.returncode, errors


def test_an_export_leaves_nothing(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "exports"
    words = ["export", str(run), "--format", "torch", "--out", str(out / "a"), "--golden-only"]
    code, errors = _end_when(words, lambda: any(out.glob(".a.*.part")), signals=2)
    assert code == 143
    assert "residua: Stopped by SIGTERM." in errors
    assert not list(out.iterdir())


def test_answers_can_go_on(run: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    random = np.random.default_rng(0)
    for number in range(30):
        Image.fromarray(random.integers(0, 256, (400, 400, 3), np.uint8)).save(images / f"{number:03}.png")
    out = tmp_path / "answers.jsonl"
    words = ["predict", str(run), str(images), "--out", str(out), "--batch-size", "1"]
    partial = out.with_name(out.name + ".partial")
    code, errors = _end_when(words, lambda: partial.exists() and partial.stat().st_size > 0)
    assert code == 143
    assert f"stand in {partial}" in errors
    assert not out.exists()
    assert subprocess.run(_COMMAND + words, timeout=_SECONDS, check=False, capture_output=True).returncode == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [Path(row["path"]).name for row in rows] == [f"{number:03}.png" for number in range(30)]


def test_who_ignores_sigterm_goes_on_ignoring_it() -> None:
    script = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "from residua._base.signals import stop_on_sigterm; stop_on_sigterm()\n"
        "assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=_SECONDS, env=os.environ)


def test_a_forked_process_ends_at_once() -> None:
    # Python forgets signals that come while it forks: the child states when it runs.
    script = (
        "import os, signal, time\n"
        "from residua._base.signals import stop_on_sigterm; stop_on_sigterm()\n"
        "read, write = os.pipe()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    os.write(write, b'.')\n"
        "    time.sleep(30)\n"
        "    os._exit(0)\n"
        "os.read(read, 1)\n"
        "os.kill(child, signal.SIGTERM)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, timeout=_SECONDS, capture_output=True, text=True)
    assert int(done.stdout) == -signal.SIGTERM
