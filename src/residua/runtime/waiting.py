"""How threads wait for each other on a busy machine: settled before torch loads its OpenMP runtime."""

from __future__ import annotations

import os
import sys
from pathlib import Path

BUSY = 0.5
"""Processes of others per processor from which on a machine counts as busy."""
_POLICY = "OMP_WAIT_POLICY"
_STATED = (_POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME")  # by any of these the user has chosen
_settled: dict[str, str] = {}


def settle_waiting() -> None:
    """Let threads sleep while they wait, where others want the processors too and the user has not chosen.

    By default a thread that waits for the others of a layer keeps its processor busy for about a millisecond. Beside
    other work that takes the time from the very thread that it waits for. Measured with three busy processes per core,
    training lost half of its speed or more to it (benchmarks/waiting.py). The runtime reads the variable once, when it
    is loaded: a process that has torch already is left alone.
    """
    if "torch" in sys.modules or any(name in os.environ for name in _STATED):
        return
    others, processors = _others(), os.cpu_count() or 1
    if others >= BUSY * processors:
        os.environ[_POLICY] = "passive"
        _settled["sentence"] = (
            f"The machine is busy ({others:.1f} processes of others on {processors} processors): threads wait asleep, "
            f"{_POLICY}=passive"
        )


def waiting_sentence() -> str:
    """Return what was settled, for people; "" where nothing was."""
    return _settled.get("sentence", "")


def _others() -> float:
    """Return how many processes want a processor beside this one, over the last minute and now; the lesser of both.

    The minute alone would count a run that has just ended, the moment alone a compiler that runs for a second.
    """
    try:
        minute = os.getloadavg()[0]
    except OSError:
        return 0.0
    try:
        running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]) - 1
    except (OSError, ValueError, IndexError):
        return minute
    return min(minute, running)
