"""Do RandAugment, TrivialAugment and AugMix make a network bear corruption better? Beside the recipe without them.

    python benchmarks/robustness.py CIFAR [--images 3000] [--epochs 12] [--seeds 3] [--minutes 8] [--work FOLDER]

CIFAR holds CIFAR-10 as JPEG in train/ and test/. Each recipe is `fast` with one of the policies; all have the same
images, epochs and seeds. A run is scored on 500 test images as they are and under the 15 common corruptions at
severities 1, 3 and 5. Recipes take turns within a seed. Every finished run is recorded in results/robustness.json at
once: the same command goes on. After --minutes no further run begins. The table goes to results/robustness.md.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import residua
from machine import TimeLimit, describe, write_result
from residua._base.files import write_text
from residua._base.json_file import read_json
from residua.data.corruptions.names import KINDS
from residua.studies.intervals import difference

RESULT = Path(__file__).parent / "results" / "robustness.json"
RECIPES: dict[str, dict[str, Any]] = {
    "fast": {},
    "randaugment": {"randaugment": 2, "randaugment_magnitude": 9},
    "trivialaugment": {"trivialaugment": True},
    "augmix": {"augmix": 3},
}
MODEL, SEVERITIES, TESTED = "cifar_resnet8", (1, 3, 5), 500


def subset(data: Path, folder: Path) -> Path:
    """Copy the first test images of each class; return the folder."""
    for name in sorted(path.name for path in (data / "test").iterdir()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file in sorted((data / "test" / name).iterdir())[: TESTED // 10]:
            shutil.copy(file, folder / name / file.name)
    return folder


def one(data: Path, test: Path, fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Train and score one run."""
    began = time.perf_counter()
    run = residua.train(data, MODEL, "fast", folder, progress=False, device="cpu", **fields)
    trained = time.perf_counter()
    report = residua.evaluate(run, test, corrupt=True, severities=SEVERITIES, cache=False, device="cpu")
    corruptions = report.corruptions
    assert corruptions is not None
    return {
        "top1": report.top1,
        "corrupted_top1": 1 - corruptions.mean_error,
        "by_kind": {
            kind: 1 - statistics.fmean(row.error for row in corruptions.rows if row.kind == kind) for kind in KINDS
        },
        "test_images": report.count,
        "train_seconds": round(trained - began, 1),
        "score_seconds": round(time.perf_counter() - trained, 1),
    }


def table(document: dict[str, Any]) -> str:
    """Return means and deviations over the seeds, and the difference to the recipe without a policy."""
    settings = document["settings"]
    lines = [
        f"`benchmarks/robustness.py` · {MODEL}, {settings['images']:,} images of CIFAR-10, {settings['epochs']} "
        "epochs, "
        f"mean ± deviation over the seeds; {settings['test_images']} test images, severities 1, 3, 5",
        "",
        "| recipe | seeds | clean top-1 | corrupted top-1 | against `fast`, corrupted, 95% | noise | blur | weather | "
        "digital | training, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    rows = document["runs"]
    for name, runs in rows.items():
        if not runs:
            continue
        gap = "–"
        if name != "fast" and len(runs) > 1 and len(rows["fast"]) == len(runs):
            values = [[each["corrupted_top1"] for each in rows[key]] for key in (name, "fast")]
            found = difference(values[0], values[1], TESTED, seed_sd=0.01)
            gap = f"{100 * found.value:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
        kinds = " | ".join(mean_of([each["by_kind"][kind] for each in runs]) for kind in KINDS)
        rates = [mean_of([each[key] for each in runs]) for key in ("top1", "corrupted_top1")]
        seconds = statistics.fmean(each["train_seconds"] for each in runs)
        lines.append(f"| {name} | {len(runs)} | {rates[0]} | {rates[1]} | {gap} | {kinds} | {seconds:.0f} |")
    return "\n".join([*lines, ""])


def mean_of(values: list[float]) -> str:
    """Return mean ± standard deviation, in percent."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.fmean(values):.1f} ± {100 * spread:.1f}"


def main() -> None:
    """Go through seeds and recipes until all is done or the time is over."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cifar", type=Path)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    limit = TimeLimit(asked.minutes)
    settings = {"model": MODEL, "images": asked.images, "epochs": asked.epochs, "severities": list(SEVERITIES)}
    settings["test_images"] = TESTED
    document: dict[str, Any] = {"settings": settings, "runs": {name: [] for name in RECIPES}}
    if asked.out.exists():
        former = read_json(asked.out, dict[str, Any])
        document = former if former["settings"] == settings else document
    with tempfile.TemporaryDirectory() as scratch:
        test = subset(asked.cifar, Path(scratch) / "test")
        for seed in range(asked.seeds):
            for name, policy in RECIPES.items():
                rows = document["runs"][name]
                if len(rows) > seed:
                    continue
                if limit.is_over():
                    return
                fields = {"epochs": asked.epochs, "train_images": asked.images, "seed": seed, **policy}
                rows.append(one(asked.cifar, test, fields, Path(scratch) / f"{name}-{seed}"))
                print(f"seed {seed}, {name}: {rows[-1]}", flush=True)
                write_result(asked.out, {**document, "machine": describe()})
                write_text(asked.out.with_suffix(".md"), table(document))


if __name__ == "__main__":
    main()
