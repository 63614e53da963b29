"""Proof: answers that are killed at any moment and taken up again are those of the command that never was.

    .venv/bin/python proofs/predict_kills.py [--kills 40] [--images 4000] [--seed N]

`residua predict RUN FOLDER --out FILE` is run once undisturbed for each form (jsonl, csv, parquet). Then it is killed
(SIGKILL) after random delays and repeated, again and again, until there were enough kills. jsonl and csv must have the
undisturbed bytes, parquet the undisturbed rows. The rows that stood in the partial file at each kill are noted. The
outcome goes to docs/proofs/predict_kills.json and .md; exit 1 when one differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from exporting.runs import SIDE, digits_run  # noqa: E402 - it stands beside the tests that use it

PICTURES = 200


def command(run: Path, folder: Path, out: Path) -> list[str]:
    """Return the words of the command; `--top 3` gives every form several columns."""
    words = ["-m", "residua", "predict", str(run), str(folder), "--out", str(out), "--top", "3", "--batch-size", "16"]
    return [sys.executable, *words, "--device", "cpu"]


def start(words: list[str]) -> subprocess.Popen[bytes]:
    """Start the command on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file; of parquet that of its rows."""
    if path.suffix == ".parquet":
        from pyarrow import parquet

        rows = parquet.read_table(path).to_pylist()
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def prove(ending: str, kills: int, chance: random.Random, run: Path, folder: Path, scratch: Path) -> dict[str, Any]:
    """Kill and repeat until there were `kills` kills; return the outcome."""
    whole = scratch / f"whole.{ending}"
    began = time.monotonic()
    assert start(command(run, folder, whole)).wait() == 0
    seconds = time.monotonic() - began
    expected, runs, noted = digest(whole), [], []
    while len(noted) < kills:
        out = scratch / f"killed{len(runs)}.{ending}"
        partial = out.with_name(f"{out.name}.partial")
        mine = 0
        while mine < 8 and len(noted) < kills and not out.exists():
            process = start(command(run, folder, out))
            # Half of the kills come while rows are written, the others at any time from the start on.
            if chance.random() < 0.5:
                before = partial.stat().st_size if partial.exists() else 0
                while process.poll() is None and (partial.stat().st_size if partial.exists() else 0) <= before:
                    time.sleep(0.002)
                delay = chance.uniform(0, seconds / 6)
            else:
                delay = chance.uniform(0, seconds)
            try:
                process.wait(delay)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                mine += 1
                rows = partial.read_bytes().count(b"\n") if partial.exists() else None
                noted.append({"run": len(runs), "seconds": round(delay, 3), "rows_in_partial": rows})
        if not out.exists():
            assert start(command(run, folder, out)).wait() == 0
        runs.append({"kills": mine, "equal": digest(out) == expected})
        print(f"{ending}: {mine} kills, {'equal' if runs[-1]['equal'] else 'DIFFERENT'}", file=sys.stderr)
    return {
        "form": ending,
        "kills": len(noted),
        "runs": runs,
        "undisturbed_seconds": round(seconds, 2),
        "sha256": expected,
        "all_equal": all(each["equal"] for each in runs),
        "moments": noted,
    }


def table(outcome: dict[str, Any]) -> str:
    """Return the outcome as a short page."""
    rows = [
        f"| {part['form']} | {part['kills']} | {len(part['runs'])} | {'yes' if part['all_equal'] else 'NO'} |"
        for part in outcome["parts"]
    ]
    lines = ["# Answers, killed and taken up again", "", f"`{outcome['command']}`", ""]
    lines += ["| form | kills (SIGKILL) | files | each equal to the undisturbed one |", "|---|---|---|---|", *rows, ""]
    lines += [
        f"cifar_resnet8, {outcome['images']:,} images of {SIDE} × {SIDE} pixels, batches of 16. jsonl and csv: the "
        "same bytes; parquet: the same rows. What stood in the partial file at each kill is in `predict_kills.json`.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Run the proof and write its outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=40, help="of all forms together")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "proofs")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    try:
        version("pyarrow")
        endings = ["jsonl", "csv", "parquet"]
    except PackageNotFoundError:
        endings = ["jsonl", "csv"]
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        run, folder = digits_run(scratch / "run"), scratch / "images"
        folder.mkdir()
        generator = np.random.default_rng(0)
        for index in range(arguments.images):
            path = folder / f"{index:06d}.png"
            if index < PICTURES:
                Image.fromarray(generator.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(path)
            else:
                path.symlink_to(folder / f"{index % PICTURES:06d}.png")
        share = -(-arguments.kills // len(endings))
        parts = [prove(ending, share, chance, run, folder, scratch) for ending in endings]
    options = f"--kills {arguments.kills} --images {arguments.images} --seed {arguments.seed}"
    outcome = {
        "proof": "answers, killed and taken up again",
        "command": f"proofs/predict_kills.py {options}",
        "images": arguments.images,
        "all_equal": all(part["all_equal"] for part in parts),
        "versions": {"torch": version("torch"), "python": platform.python_version(), "system": platform.platform()},
        "parts": parts,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "predict_kills.json").write_text(json.dumps(outcome, indent=1) + "\n")
    (arguments.out / "predict_kills.md").write_text(table(outcome))
    print(table(outcome))
    return 0 if outcome["all_equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
