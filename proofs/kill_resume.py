"""Proof: a run that is killed at any moment and resumed gives the same bytes as the run that never was.

    .venv/bin/python proofs/kill_resume.py [--kills 50] [--seed N]

Trains cifar_resnet8 on digits for three epochs, once undisturbed. Then again and again, sending SIGKILL at random
moments and resuming, up to six times a run, until there were `--kills` kills. Half of the kills wait until a file is
half written, and one of a run comes after training, while the results are written. The SHA-256 of each run's
model.safetensors must equal that of the undisturbed run. The outcome goes to docs/proofs/kill_resume.json and .md;
exit 1 when one run differs.
"""

from __future__ import annotations

import argparse
import collections
import json
import platform
import random
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "faults"))

import kill  # noqa: E402 - it stands beside the tests that use it

KILLS_A_RUN = 6
LONGEST_DELAY = 6.0  # seconds; a resumed run gets further, so that late moments come up too


def prove(kills: int, seed: int, folder: Path) -> dict[str, Any]:
    """Kill and resume until there were `kills` kills; return the outcome."""
    began = time.monotonic()
    kill.train_undisturbed(folder / "warm")
    expected, seconds = kill.train_undisturbed(folder / "undisturbed")
    print(f"undisturbed: {expected[:16]}, {seconds:.1f} s", file=sys.stderr)
    chance = random.Random(seed)
    found: list[kill.Kill] = []
    runs = []
    while len(found) < kills:
        number, place = len(runs) + 1, kill.fresh(folder / "killed")
        # A kill at the end of the run can only be its last.
        aims = [*chance.choices(("any", "writing"), k=KILLS_A_RUN - 1), "end"][-(kills - len(found)) :]
        mine = kill.kill_until_done(place, number, chance, min(seconds, LONGEST_DELAY), aims)
        sha256 = kill.digest(place)
        runs.append({"run": number, "kills": len(mine), "sha256": sha256, "equal": sha256 == expected})
        found += mine
        print(f"run {number}: {len(mine)} kills, {'equal' if sha256 == expected else 'DIFFERENT'}", file=sys.stderr)
    import torch

    return {
        "proof": "kill and resume",
        "command": f"proofs/kill_resume.py --kills {kills} --seed {seed}",
        "kills": len(found),
        "kills_by_phase": dict(collections.Counter(each.phase for each in found).most_common()),
        "runs": runs,
        "undisturbed_sha256": expected,
        "undisturbed_seconds": round(seconds, 2),
        "all_equal": all(run["equal"] for run in runs),
        "seconds": round(time.monotonic() - began, 1),
        "recipe": kill.RECIPE,
        "versions": {"torch": torch.__version__, "python": platform.python_version(), "system": platform.platform()},
        "moments": [asdict(each) for each in found],
    }


def table(outcome: dict[str, Any]) -> str:
    """Return the outcome as a short page."""
    lines = [
        "# Killed and resumed",
        "",
        f"`{outcome['command']}`: {outcome['kills']} kills (SIGKILL) over {len(outcome['runs'])} runs, each resumed "
        f"until it was done. {'Every' if outcome['all_equal'] else 'NOT every'} run's `model.safetensors` has the "
        f"SHA-256 of the undisturbed run, `{outcome['undisturbed_sha256'][:16]}…`.",
        "",
        "| what the run was doing when it was killed | kills |",
        "|---|---|",
        *(f"| {phase} | {count} |" for phase, count in outcome["kills_by_phase"].items()),
        "",
        f"cifar_resnet8 on digits, three epochs, one thread; undisturbed {outcome['undisturbed_seconds']} s, the proof "
        f"{outcome['seconds']} s; torch {outcome['versions']['torch']}, Python {outcome['versions']['python']}. "
        "Moments and steps are in `kill_resume.json`.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Run the proof and write its outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "proofs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = prove(given.kills, given.seed, Path(folder))
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "kill_resume.json").write_text(json.dumps(outcome, indent=1) + "\n")
    (given.out / "kill_resume.md").write_text(table(outcome))
    print(table(outcome))
    return 0 if outcome["all_equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
