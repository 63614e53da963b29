"""Proof: damaged inputs are refused by name or read, by every reader of foreign bytes.

    .venv/bin/python proofs/fuzz.py [--count 5000 | --seconds 60] [--seed N] [NAME…]

Runs the targets of tests/faults/fuzz/targets.py, and damages the decode cache; NAME selects those whose name begins
so. `--count` and `--seconds` are limits for each target. Equal seeds give equal inputs, so that a failure can be
repeated by its number. Exit 1 when a reader raised what it should not, or took more than ten seconds for one input.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from faults.fuzz.decode_cache import Victims, attack  # noqa: E402 - it stands beside the tests that use it
from faults.fuzz.drive import drive  # noqa: E402
from faults.fuzz.targets import TARGETS  # noqa: E402

_CACHE = "decode cache"


def _damage_caches(count: int, seconds: float, seed: int) -> tuple[int, int]:
    """Damage the decode cache; return how often, and how often something was wrong after it."""
    began, done, wrong = time.monotonic(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        victims = Victims(Path(folder))
        while done < count and time.monotonic() - began < seconds:
            for number, what in attack(victims, 1, seed + done):
                wrong += 1
                print(f"  {_CACHE}, seed {seed + done}, {number}: {what}")
            done += 1
    print(f"{_CACHE:24} {done:8} damages, {wrong} of them seen")
    return done, wrong


def main() -> int:
    """Run the chosen targets and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--count", type=int, help="inputs per target (5000 where --seconds is not given)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="time per target")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    count = given.count or (5000 if given.seconds == float("inf") else 1 << 62)
    chosen = {name: target for name, target in TARGETS.items() if name.startswith(tuple(given.names) or "")}
    if not chosen and not _CACHE.startswith(tuple(given.names)):
        parser.error(f"no target begins with {' or '.join(given.names)}; there are {', '.join(TARGETS)}")
    warnings.simplefilter("ignore", UserWarning)  # Pillow comments on damage that it can read past.
    failed = total = 0
    readers = len(chosen)
    for name, target in chosen.items():
        outcome = drive(target, given.seed, count=count, seconds=given.seconds)
        total += outcome.inputs
        failed += bool(outcome.failures)
        word = f"{len(outcome.failures)} FAILURES" if outcome.failures else "ok"
        print(
            f"{name:24} {outcome.inputs:8} inputs, {outcome.accepted:8} read, slowest {outcome.slowest:.2f} s  {word}"
        )
        for number, what in outcome.failures:
            print(f"  input {number} of seed {given.seed}: {what}")
    if _CACHE.startswith(tuple(given.names) or ""):
        caches, wrong = _damage_caches(given.count or 2000, given.seconds, given.seed)
        total, failed, readers = total + caches, failed + bool(wrong), readers + 1
    print(f"{total} damaged inputs over {readers} readers, {failed} of which failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
