"""Peak memory of training on cifar10-jpeg, above the interpreter with torch loaded.

    python benchmarks/memory.py FOLDER [--out benchmarks/results/memory.json]

FOLDER holds train/ and test/ (60,000 images of 32 × 32 pixels). A fresh process imports torch, notes its resident
size, then trains `cifar_resnet20` with the `fast` recipe for --steps steps and evaluates on the whole test part, with
an empty cache, so that decoding counts too. Linux keeps the greatest resident size (VmHWM).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import describe, write_result

LIMIT_GB = 1.2


def _resident_gb(field: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024 / 1e9


def child(folder: str, steps: int, scratch: str) -> None:
    """Train in this process and print one JSON line."""
    import torch

    torch.ones(1).sum()
    before = _resident_gb("VmRSS")
    import residua

    residua.train(
        folder,
        model="cifar_resnet20",
        out=Path(scratch) / "run",
        progress=False,
        max_steps=steps,
        val_fraction=0,
    )
    print(json.dumps({"before_gb": before, "peak_gb": _resident_gb("VmHWM"), "at_end_gb": _resident_gb("VmRSS")}))


def main() -> None:
    """Run the child with an empty cache and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/memory.json")
    parser.add_argument("--child", metavar="SCRATCH", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.folder, given.steps, given.child)
        return
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(
            [sys.executable, __file__, given.folder, "--steps", str(given.steps), "--child", scratch],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "RESIDUA_CACHE": str(Path(scratch) / "cache")},
        )
    measured = json.loads(done.stdout.splitlines()[-1])
    above = measured["peak_gb"] - measured["before_gb"]
    result = {
        "what": "peak resident memory of training cifar_resnet20 on 50,000 images and evaluating on 10,000, GB (1e9)",
        "peer": "none: a limit",
        "above_torch_gb": above,
        "limit_gb": LIMIT_GB,
        "holds": above <= LIMIT_GB,
        **measured,
        "steps": given.steps,
        "machine": describe(),
    }
    write_result(given.out, result)
    print(f"{above:.2f} GB above the interpreter with torch loaded (limit {LIMIT_GB} GB)")


if __name__ == "__main__":
    main()
