"""What threads do while they wait, on a quiet and on a busy machine: training `cifar_resnet20` with the fused kernels.

    python benchmarks/waiting.py [--busy 3] [--rounds 3] [--steps 5] [--out benchmarks/results/waiting.json]

The OpenMP runtime reads its settings once, when it is loaded, so each setting has a process of its own; they take
turns, the order reversed from round to round. The peer is the runtime's default, in the same round. The load is the
benchmark's own, see `busy_machine.py`; the turns without it say what a setting costs where the machine is idle.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from busy_machine import busy
from machine import describe, write_result
from train_speed import BATCH, MODEL, our_turn, spread, write_noise

SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "bounded": {"GOMP_SPINCOUNT": "2000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
_NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_NUM_THREADS")
_TURN_SECONDS = 300


def turn(folder: Path, steps: int) -> float:
    """Return images per second of one turn, after a step that is not measured; in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        work, _ = our_turn(folder, Path(scratch))
        work(1)
        start = time.perf_counter()
        work(steps)
        return steps * BATCH / (time.perf_counter() - start)


def in_process(folder: Path, steps: int, setting: dict[str, str]) -> float:
    """Return images per second of a turn under a setting."""
    known = {key: value for key, value in os.environ.items() if key not in _NAMES}
    words = [sys.executable, __file__, "--turn", str(folder), "--steps", str(steps)]
    done = subprocess.run(words, env=known | setting, capture_output=True, text=True, check=True, timeout=_TURN_SECONDS)
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure(folder: Path, rounds: int, steps: int, per_core: int) -> dict[str, Any]:
    """Take turns for `rounds`; return the speeds and the ratios to the default."""
    speeds: dict[str, list[float]] = {name: [] for name in SETTINGS}
    with busy(per_core) if per_core else contextlib.nullcontext(0):
        for number in range(rounds):
            for name in list(SETTINGS)[:: -1 if number % 2 else 1]:
                speeds[name].append(in_process(folder, steps, SETTINGS[name]))
    return {
        "busy_per_core": per_core,
        "images_per_second": {name: spread(values) for name, values in speeds.items()},
        "times_the_default": {
            name: spread([own / default for own, default in zip(values, speeds["default"], strict=True)])
            for name, values in speeds.items()
            if name != "default"
        },
    }


def main() -> None:
    """Measure quiet, then busy; print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=3, help="processes per core")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--turn", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/waiting.json")
    given = parser.parse_args()
    if given.turn:
        print(turn(given.turn, given.steps))
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["RESIDUA_CACHE"] = f"{scratch}/cache"
        write_noise(Path(scratch, "noise"), 1280)
        folder = Path(scratch, "noise")
        result = {
            "what": f"training {MODEL}, batch {BATCH}, fused kernels, by what threads do while they wait",
            "peer": "the OpenMP runtime's default, in the same round",
            "settings": SETTINGS,
            "quiet": measure(folder, given.rounds, given.steps, 0),
            "busy": measure(folder, given.rounds, given.steps, given.busy),
            "rounds": given.rounds,
            "load_before": load,
            "machine": describe(),
        }
    write_result(given.out, result)
    for name in ("quiet", "busy"):
        print(name, json.dumps(result[name], indent=1))


if __name__ == "__main__":
    main()
