"""Proof: a run that is killed at any moment and resumed gives the same bytes as the run that never was.

    .venv/bin/python proofs/kill_resume.py [--kills 50] [--seed N]

Trains cifar_resnet8 on digits for three epochs, once undisturbed. Then again and again, sending SIGKILL at random
moments and resuming, up to six times a run, until there were enough kills. Half of the kills wait until a file is
half written, and one of a run comes after training, while the results are written. The SHA-256 of each run's
model.safetensors must equal that of the undisturbed run. All this is done twice, for half of the kills each: with
torch's own kernels in one thread, and with the fused kernels, which are the default on a CPU, in two. The outcome goes
to docs/proofs/kill_resume.json and .md; exit 1 when one run differs.
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
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "faults"))

import kill  # noqa: E402 - it stands beside the tests that use it

SETTINGS: tuple[dict[str, Any], ...] = ({"kernels": "eager", "threads": 1}, {"kernels": "native", "threads": 2})
KILLS_A_RUN = 6
LONGEST_DELAY = 6.0  # seconds; a resumed run gets further, so that late moments come up too


def prove(kills: int, chance: random.Random, folder: Path, **setting: Any) -> dict[str, Any]:
    """Kill and resume until there were `kills` kills; return the outcome."""
    began = time.monotonic()
    kill.train_undisturbed(folder / "warm", **setting)
    expected, seconds = kill.train_undisturbed(folder / "undisturbed", **setting)
    print(f"{setting}, undisturbed: {expected[:16]}, {seconds:.1f} s", file=sys.stderr)
    found: list[kill.Kill] = []
    runs = []
    while len(found) < kills:
        number, place = len(runs) + 1, kill.fresh(folder / "killed")
        # A kill at the end of the run can only be its last.
        aims = [*chance.choices(("any", "writing"), k=KILLS_A_RUN - 1), "end"][-(kills - len(found)) :]
        mine = kill.kill_until_done(place, number, chance, min(seconds, LONGEST_DELAY), aims, **setting)
        sha256 = kill.digest(place)
        runs.append({"run": number, "kills": len(mine), "sha256": sha256, "equal": sha256 == expected})
        found += mine
        print(f"run {number}: {len(mine)} kills, {'equal' if sha256 == expected else 'DIFFERENT'}", file=sys.stderr)
    return {
        "setting": setting,
        "kills": len(found),
        "kills_by_phase": dict(collections.Counter(each.phase for each in found).most_common()),
        "runs": runs,
        "undisturbed_sha256": expected,
        "undisturbed_seconds": round(seconds, 2),
        "all_equal": all(run["equal"] for run in runs),
        "seconds": round(time.monotonic() - began, 1),
        "moments": [asdict(each) for each in found],
    }


def table(outcome: dict[str, Any]) -> str:
    """Return the outcome as a short page."""
    parts, versions = outcome["parts"], outcome["versions"]
    phases = sorted({phase for part in parts for phase in part["kills_by_phase"]})
    heads = [f"{part['setting']['kernels']}, {part['setting']['threads']} thread(s)" for part in parts]
    rows = [("runs, each resumed until it was done", [len(part["runs"]) for part in parts])]
    rows += [(phase, [part["kills_by_phase"].get(phase, 0) for part in parts]) for phase in phases]
    lines = [
        "# Killed and resumed",
        "",
        f"`{outcome['command']}`: {sum(part['kills'] for part in parts)} kills (SIGKILL). "
        f"{'Every' if outcome['all_equal'] else 'NOT every'} run's `model.safetensors` has the SHA-256 of the "
        "undisturbed run with the same kernels and threads.",
        "",
        f"| killed while | {' | '.join(heads)} |",
        "|---|" + "---|" * len(parts),
        *(f"| {name} | {' | '.join(map(str, counts))} |" for name, counts in rows),
        "",
        f"cifar_resnet8 on digits, three epochs; {sum(part['seconds'] for part in parts):.0f} s in all; torch "
        f"{versions['torch']}, Python {versions['python']}. Moments and steps are in `kill_resume.json`.",
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
    chance, shares = random.Random(given.seed), (given.kills - given.kills // 2, given.kills // 2)
    parts = []
    for setting, share in zip(SETTINGS, shares, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            parts.append(prove(share, chance, Path(folder), **setting))
    outcome = {
        "proof": "kill and resume",
        "command": f"proofs/kill_resume.py --kills {given.kills} --seed {given.seed}",
        "all_equal": all(part["all_equal"] for part in parts),
        "recipe": kill.RECIPE,
        "versions": {
            "torch": version("torch"),
            "python": platform.python_version(),
            "system": platform.platform(),
        },
        "parts": parts,
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "kill_resume.json").write_text(json.dumps(outcome, indent=1) + "\n")
    (given.out / "kill_resume.md").write_text(table(outcome))
    print(table(outcome))
    return 0 if outcome["all_equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
