"""Processes that end with their parent."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = (
    "import os, sys, time; from residua._base.subprocesses import at_end_of_stdin; "
    "at_end_of_stdin(lambda: os._exit(1)); time.sleep(float(sys.argv[1]))"
)


def test_a_process_ends_with_its_standard_input() -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT, "60"], stdin=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(30) == 1
        finally:
            process.kill()


def test_a_process_that_ends_first_ends_well() -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT, "0.1"], stdin=subprocess.PIPE) as process:
        try:
            assert process.wait(30) == 0
        finally:
            process.kill()
