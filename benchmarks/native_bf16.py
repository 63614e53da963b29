"""What it costs that the fused kernels multiply in bf16: accuracy beside float, and the time of a step.

    python benchmarks/native_bf16.py CIFAR [--images 10000] [--seeds 3] [--minutes 30] [--work FOLDER] [--out FILE]

CIFAR holds CIFAR-10 as JPEG in train/ and test/. `cifar_resnet20` is trained with the recipe `fast` and
`kernels="native"`, in fp32 and in bf16 in turns; all test images judge. Every finished run is recorded at once: the
same command goes on, also within a run. After --minutes no further run begins.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import residua
from machine import TimeLimit, describe, write_result
from residua.studies.intervals import difference

RESULT = Path(__file__).parent / "results" / "native_bf16.json"
MODEL, PRECISIONS = "cifar_resnet20", ("fp32", "bf16")
_SEED_SD = 0.01  # assumed where one seed alone is done


def one(data: Path, precision: str, folder: Path, **fields: Any) -> dict[str, Any]:
    """Train to the end, resuming what is there."""
    begun = (folder / "checkpoints" / "origin.json").exists()
    choice: dict[str, Any] = {"kernels": "native", "precision": precision, "device": "cpu"}
    run = residua.train(data, MODEL, "fast", folder, resume=begun, progress=False, **choice, **fields)
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return {
        "top1": run.metrics["top1"],
        "images": run.metrics["count"],
        "train_loss": lines[-1]["train_loss"],
        "images_per_second": [line["images_per_second"] for line in lines],
    }


def main() -> None:
    """Go through seeds and precisions until all is done or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--work", type=Path, default=Path("native_bf16_runs"))
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    limit = TimeLimit(asked.minutes)
    runs: dict[str, list[dict[str, Any]]] = {precision: [] for precision in PRECISIONS}
    if asked.out.exists():
        runs |= json.loads(asked.out.read_text())["runs"]
    for seed in range(asked.seeds):
        for precision in PRECISIONS:
            if len(runs[precision]) > seed:
                continue
            if limit.is_over():
                return
            folder = asked.work / f"{precision}-{seed}"
            runs[precision].append(one(asked.cifar, precision, folder, train_images=asked.images, seed=seed))
            print(f"seed {seed}, {precision}: {runs[precision][-1]}", flush=True)
            document: dict[str, Any] = {
                "machine": describe(),
                "model": MODEL,
                "train_images": asked.images,
                "runs": runs,
            }
            seeds = min(map(len, runs.values()))
            if seeds:
                ours, theirs = ([row["top1"] for row in runs[name][:seeds]] for name in ("bf16", "fp32"))
                gap = difference(ours, theirs, runs["fp32"][0]["images"], seed_sd=_SEED_SD)
                document["bf16_over_fp32"] = {"value": gap.value, "low": gap.low, "high": gap.high, "seeds": seeds}
            write_result(asked.out, document)


if __name__ == "__main__":
    main()
