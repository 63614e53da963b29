"""Proof: of labels that were flipped on purpose, `doubt` finds these many, and feeding them back helps this much.

    .venv/bin/python proofs/doubt.py ARCHIVE [--images 3000] [--epochs 12] [--seeds 3] [--folds 5]

Of digits, and of a part of CIFAR-10 as JPEG (ARCHIVE: a tar with train/CLASS/*.jpg), 5% of the labels are flipped, by
seed. A network is trained on them, `doubt` judges its training and validation images by features and by the run
itself, and all of them by a cross-validation. The first N doubts are held against the N flips: precision and recall.
Then the unedited corrections by features and by folds are fed back: top-1 on test images whose labels are right, before
and after. The outcome goes to docs/proofs/doubt.json and .md. Exit 1 where a doubt by features or by folds is less than
four times as often right as a guess.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import shutil
import statistics
import sys
import tarfile
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from residua.data.open import open_dataset
from residua.grids.folds.train_folds import train_folds as cross_validate
from residua.labels.corrections_file import write_corrections
from residua.labels.doubt import Doubts, doubt
from residua.labels.judges import Judge
from residua.training.loop import train

ROOT = Path(__file__).parents[1]
FLIPPED = 0.05
JUDGES: tuple[Judge, ...] = ("features", "held-out", "folds")
FED_BACK: tuple[Judge, ...] = ("features", "folds")
_COUNTS = ("images", "flipped_among_them", "doubted")
_RATES = ("precision_of_first_n", "recall_of_first_n", "suggestion_right_of_flipped")


def flip(names: list[str], labels: list[str], classes: list[str], seed: int) -> dict[str, str]:
    """Return a wrong label for a share of the images, by name."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(names))[: round(FLIPPED * len(names))]
    return {names[i]: str(random.choice([name for name in classes if name != labels[i]])) for i in sorted(chosen)}


def table_of(path: Path, labels: dict[str, str]) -> Path:
    """Write corrections; these make labels wrong."""
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label"), *labels.items()])
    return path


def prove(data: str | Path, model: str, scratch: Path, seed: int, folds: int, **fields: Any) -> dict[str, Any]:
    """Flip, train, doubt, feed back; return the outcome of a seed."""
    whole = open_dataset(data, val_fraction=0)
    train_part = whole.splits["train"]
    names = [whole.image_name(train_part, index) for index in range(len(train_part))]
    truth = {name: whole.classes[label] for name, label in zip(names, train_part.labels, strict=True)}
    wrong = flip(names, list(truth.values()), list(whole.classes), seed)
    began = time.monotonic()
    given = table_of(scratch / "flipped.csv", wrong)
    options: dict[str, Any] = {"device": "cpu", "progress": False, "seed": seed, **fields}
    run = train(data, model, out=scratch / "before", corrections=given, **options)
    trained = time.monotonic()
    outcome: dict[str, Any] = {"data": whole.name, "model": model, "images": len(names), "flipped": len(wrong)}
    outcome |= {"seed": seed, "recipe": fields, "train_seconds": round(trained - began, 1), "judges": {}}
    cross_validate(data, model, out=scratch / "folds", corrections=given, folds=folds, jobs=1, **options)
    outcome["folds_seconds"] = round(time.monotonic() - trained, 1)
    for by in JUDGES:
        start = time.monotonic()
        doubts = doubt(scratch / "folds" if by == "folds" else run, by=by)
        outcome["judges"][by] = score(doubts, wrong, truth) | {"seconds": round(time.monotonic() - start, 1)}
        write_corrections(scratch / f"{by}.csv", doubts)
    runs = {"flipped": run, "clean": train(data, model, out=scratch / "clean", **options)}
    for by in FED_BACK:
        runs[by] = train(data, model, out=scratch / f"after-{by}", corrections=scratch / f"{by}.csv", **options)
    outcome["test_top1"] = {name: each.metrics["top1"] for name, each in runs.items()}
    outcome["test_images"] = run.metrics["count"]
    return outcome


def score(doubts: Doubts, wrong: dict[str, str], truth: dict[str, str]) -> dict[str, Any]:
    """Hold the doubts against the flips, by name."""
    hits = np.array([each.path in wrong for each in doubts.doubts], bool)
    pool = doubts.pool
    judged = sum(
        name in wrong and (doubts.by != "held-out" or not learnt)
        for name, learnt in zip(pool.names, pool.learnt, strict=True)
    )
    first = hits[:judged]
    suggested = [truth[each.path] == each.suggested for each in doubts.doubts]
    return {
        "images": doubts.images,
        "flipped_among_them": judged,
        "doubted": len(hits),
        "flipped_among_doubted": int(hits.sum()),
        "precision_of_first_n": float(first.mean()) if len(first) else 0.0,
        "recall_of_first_n": float(first.sum() / judged),
        "precision_of_all": float(hits.mean()) if len(hits) else 0.0,
        "recall_of_all": float(hits.sum() / judged),
        "suggestion_right_of_flipped": float(
            np.mean([s for s, h in zip(suggested, hits, strict=True) if h] or [False])
        ),
        "estimated_share": doubts.share,
    }


def unpacked(archive: Path, folder: Path, images: int) -> Path:
    """Unpack the first images of each class: train/, and a third as many of test/."""
    wanted = {"train": images // 10, "test": max(images // 30, 1)}
    with tarfile.open(archive) as opened:
        members = [
            member
            for member in opened
            if member.isfile() and int(Path(member.name).stem) < wanted[member.name.split("/")[0]]
        ]
        opened.extractall(folder, members, filter="data")
    return folder


def table(parts: list[dict[str, Any]], command: str) -> str:
    """Return the outcome as a short page: mean and deviation over the seeds."""
    lines = ["# Wrong labels, found again", "", f"`{command}`", ""]
    lines += [
        "5% of the labels of the training part were flipped, by seed. N is how many of the judged labels were flipped. "
        "Mean ± deviation over the seeds.",
        "",
        "| data | network | seeds | judged by | images | N | doubted | precision of the first N | "
        "recall of the first N | right suggestions of flips |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[str, list[dict[str, Any]]] = {}
    for part in parts:
        groups.setdefault(part["data"], []).append(part)
    for name, seeds in groups.items():
        for by in JUDGES:
            rows = [part["judges"][by] for part in seeds]
            counts = [f"{statistics.fmean(row[key] for row in rows):,.0f}" for key in _COUNTS]
            rates = [spread([row[key] for row in rows], 3) for key in _RATES]
            lines.append(f"| {name} | {seeds[0]['model']} | {len(seeds)} | {by} | {' | '.join(counts + rates)} |")
    lines += ["", "Fed back without an edit, beside a run on the labels without flips (top-1 on test images):", ""]
    lines += [
        "| data | test images | flipped | fed back, by features | by folds | no flips |",
        "|---|---|---|---|---|---|",
    ]
    for name, seeds in groups.items():
        rates = [spread([part["test_top1"][key] for part in seeds], 4) for key in ("flipped", *FED_BACK, "clean")]
        lines.append(f"| {name} | {seeds[0]['test_images']:,} | {' | '.join(rates)} |")
    return "\n".join([*lines, ""])


def spread(values: list[float], digits: int) -> str:
    """Return mean ± standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.{digits}f} ± {deviation:.{digits}f}"


def main() -> int:
    """Run the proof and write its outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--images", type=int, default=3000, help="of CIFAR-10's training part")
    parser.add_argument("--epochs", type=int, default=12, help="of CIFAR-10")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "proofs")
    given = parser.parse_args()
    parts = []
    with tempfile.TemporaryDirectory() as name:
        photos = unpacked(given.archive, Path(name) / "cifar10-jpeg", given.images)
        for seed in range(given.seeds):
            for data, epochs in (("digits", 15), (photos, given.epochs)):
                scratch = Path(name) / f"{seed}-{epochs}"
                scratch.mkdir()
                part = prove(data, "cifar_resnet8", scratch, seed, given.folds, epochs=epochs)
                print(part["data"], seed, json.dumps(part["judges"]), part["test_top1"], file=sys.stderr, flush=True)
                parts.append(part)
                shutil.rmtree(scratch)
    parts.sort(key=lambda part: [each["data"] for each in parts].index(part["data"]))
    command = (
        f"proofs/doubt.py {given.archive.name} --images {given.images} --epochs {given.epochs} --seeds {given.seeds} "
        f"--folds {given.folds}"
    )
    outcome = {
        "proof": "wrong labels, found again",
        "command": command,
        "parts": parts,
        "versions": {"torch": version("torch"), "python": platform.python_version(), "system": platform.platform()},
    }
    (given.out / "doubt.json").write_text(json.dumps(outcome, indent=1) + "\n")
    (given.out / "doubt.md").write_text(table(parts, command))
    worst = min(part["judges"][by]["precision_of_first_n"] for part in parts for by in FED_BACK)
    return 0 if worst > 4 * FLIPPED else 1


if __name__ == "__main__":
    raise SystemExit(main())
