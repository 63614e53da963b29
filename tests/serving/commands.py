"""`residua serve` as a process of its own, on a free port."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def started(*words: str, **options: Any) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run the command while the block runs; yield the process and what it printed: its address and models.

    A pipe for stderr holds the logs of some 200 requests: give a file, where there will be more.
    """
    command = [sys.executable, "-m", "residua", "serve", *words, "--port", "0", "--json"]
    # The working directory is no part of the import path: the command finds Residua as its user's does.
    with subprocess.Popen(
        command, text=True, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    ) as process:
        assert process.stdout is not None
        try:
            text = ""
            while True:
                line = process.stdout.readline()
                assert line, process.stderr.read() if process.stderr else ""
                text += line
                with contextlib.suppress(ValueError):
                    document = json.loads(text)
                    break
            yield process, document
        finally:
            process.kill()
            process.communicate()
