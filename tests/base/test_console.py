"""What a person sees: plain lines without a terminal, one live line with one, nothing on stdout."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from residua._base.console import Display
from residua._base.words import clock
from residua.training.state import Moment

MOMENT = Moment(
    epoch=3, epochs=10, step=120, steps=400, loss=0.51234, val_top1=0.913, images_per_second=1234.4, seconds_left=42
)


def test_a_moment_is_one_line() -> None:
    line = "epoch 3/10  step 120/400  loss 0.5123  val 91.3%  1,234 images/s  ETA 0:42"
    assert str(MOMENT) == line


@pytest.mark.parametrize(("seconds", "text"), [(-1, "0:00"), (42.4, "0:42"), (725, "12:05"), (10807, "3:00:07")])
def test_durations(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_plain_lines_and_silence(capfd: pytest.CaptureFixture[str]) -> None:
    with Display() as display:
        display.say("[not markup] hello")
        assert not display.due()
        display.show(MOMENT)
    with Display(shown=False) as silent:
        silent.say("nothing")
        silent.show(MOMENT)
        assert not silent.due()
        silent.warn("look")
    shown = capfd.readouterr()
    assert shown.out == ""
    assert shown.err == f"[not markup] hello\n{MOMENT}\nWarning: look\n"


def test_a_terminal_gets_one_live_line() -> None:
    program = (
        "from residua._base.console import Display\nfrom residua.training.state import Moment\n"
        "with Display() as display:\n"
        "    display.say('kept')\n"
        f"    for _ in range(3): display.show({MOMENT!r})\n"
    )
    ours, theirs = pty.openpty()
    try:
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
        subprocess.run([sys.executable, "-c", program], stderr=theirs, check=True, env=environment)
        shown = os.read(ours, 100_000).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "kept" in shown
    assert shown.count("epoch 3/10") >= 3
    assert "\x1b[2K" in shown  # the line is erased and drawn again
    assert shown.count("\n") <= 4


@pytest.mark.parametrize("stderr", ["a closed pipe", "a full disk", "closed"])
def test_a_lost_stderr_ends_what_is_shown_and_nothing_else(stderr: str, tmp_path: Path) -> None:
    program = (
        "import sys\nfrom residua._base.console import Display\n"
        "with Display() as display:\n"
        "    for _ in range(3):\n"
        "        display.say('kept'); display.warn('kept'); display.show('kept')\n"
        "open(sys.argv[1], 'w').write(f'{display.due()}')\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    full = os.open("/dev/full", os.O_WRONLY)
    words = [sys.executable, "-c", program, str(tmp_path / "done")]
    if stderr == "closed":
        subprocess.run(["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *words], check=False)
    else:
        subprocess.run(words, stderr=writing if stderr == "a closed pipe" else full, check=False)
    os.close(writing)
    os.close(full)
    assert (tmp_path / "done").read_text() == "False"
