"""A process in place of an engine's or a worker's: does what FAKE_PROCESS lists, a word for each start in turn.

FAKE_COUNT is a file to which each start adds a byte.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from residua.serving.workers.handover import receive


def main() -> None:
    """Receive the handover, and go on as the word states."""
    count = Path(os.environ["FAKE_COUNT"])
    with count.open("ab") as file:
        file.write(b".")
    words = os.environ["FAKE_PROCESS"].split()
    word = words[min(count.stat().st_size, len(words)) - 1]
    handover = receive()
    if word == "hang":
        time.sleep(60)
    if word == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("a library prints", flush=True)
    os.write(1, b"and writes\n")
    handover.report({"models": [["a", "1"]], "ready": os.getpid()})
    if word == "die":
        time.sleep(0.1)
        sys.exit(3)
    if word == "silent":
        time.sleep(60)
    while True:
        time.sleep(0.1)
        handover.report({})


if __name__ == "__main__":
    main()
