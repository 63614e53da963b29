"""Processes that end with their parent."""

from __future__ import annotations

import subprocess
import sys


def test_a_process_ends_with_its_standard_input() -> None:
    script = "import time; from residua._base.subprocesses import end_with_stdin; end_with_stdin(); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(30) == 1
        finally:
            process.kill()
