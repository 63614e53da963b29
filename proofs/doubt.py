"""Proof: of labels that were flipped on purpose, `doubt` finds these many, and feeding them back helps this much.

    .venv/bin/python proofs/doubt.py ARCHIVE [--images 3000] [--epochs 12] [--seed 0]

Of digits, and of a part of CIFAR-10 as JPEG (ARCHIVE: a tar with train/CLASS/*.jpg), 5% of the labels are flipped, by
seed. A network is trained on them, `doubt` judges its training and validation images, and the first N doubts are held
against the N flips: precision and recall. Then the unedited corrections are fed back: top-1 on test images whose
labels are right, before and after. The outcome goes to docs/proofs/doubt.json and .md. Exit 1 where a doubt by
features is less than four times as often right as a guess.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import sys
import tarfile
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from residua.data.open import open_dataset
from residua.labels.corrections_file import write_corrections
from residua.labels.doubt import doubt
from residua.training.loop import train

ROOT = Path(__file__).parents[1]
FLIPPED = 0.05


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


def prove(data: str | Path, model: str, scratch: Path, seed: int, **fields: Any) -> dict[str, Any]:
    """Flip, train, doubt, feed back; return what was found."""
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
    for by in ("features", "held-out"):
        start = time.monotonic()
        doubts = doubt(run, by=by)  # type: ignore[arg-type]
        hits = np.array([each.path in wrong for each in doubts.doubts], bool)
        pool = doubts.pool
        judged = sum(
            name in wrong and (by == "features" or not learnt)
            for name, learnt in zip(pool.names, pool.learnt, strict=True)
        )
        first = hits[:judged]
        suggested = [truth[each.path] == each.suggested for each in doubts.doubts]
        outcome["judges"][by] = {
            "images": doubts.images,
            "flipped_among_them": judged,
            "doubted": len(hits),
            "flipped_among_doubted": int(hits.sum()),
            "precision_of_first_n": float(first.mean()) if len(first) else 0.0,
            "recall_of_first_n": float(first.sum() / judged),
            "precision_of_all": float(hits.mean()) if len(hits) else 0.0,
            "recall_of_all": float(hits.sum() / judged),
            "suggestion_right_of_flipped": float(
                np.mean([s for s, h in zip(suggested, hits, strict=True) if h] or [0])
            ),
            "estimated_share": doubts.share,
            "seconds": round(time.monotonic() - start, 1),
        }
        if by == "features":
            write_corrections(scratch / "doubts.csv", doubts)
    after = train(data, model, out=scratch / "after", corrections=scratch / "doubts.csv", **options)
    clean = train(data, model, out=scratch / "clean", **options)
    runs = {"flipped": run, "fed_back": after, "clean": clean}
    outcome["test_top1"] = {name: each.metrics["top1"] for name, each in runs.items()}
    outcome["test_images"] = run.metrics["count"]
    return outcome


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
    """Return the outcome as a short page."""
    lines = ["# Wrong labels, found again", "", f"`{command}`", ""]
    lines += [
        "5% of the labels of the training part were flipped, by seed. N is how many of the judged labels were flipped.",
        "",
    ]
    lines += [
        "| data | network | judged by | images | N | doubted | precision of the first N | recall of the first N |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for part in parts:
        for by, found in part["judges"].items():
            lines.append(
                f"| {part['data']} | {part['model']} | {by} | {found['images']:,} | {found['flipped_among_them']} | "
                f"{found['doubted']} | {found['precision_of_first_n']:.3f} | {found['recall_of_first_n']:.3f} |"
            )
    lines += ["", "Fed back without an edit, beside a run on the labels without flips (top-1 on test images):", ""]
    lines += ["| data | test images | flipped | doubts fed back | no flips |", "|---|---|---|---|---|"]
    for part in parts:
        top1 = part["test_top1"]
        rates = " | ".join(f"{top1[name]:.4f}" for name in ("flipped", "fed_back", "clean"))
        lines.append(f"| {part['data']} | {part['test_images']:,} | {rates} |")
    lines += ["", "One seed each: differences of test accuracy of a percent or two are within its spread.", ""]
    return "\n".join(lines)


def main() -> int:
    """Run the proof and write its outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--images", type=int, default=3000, help="of CIFAR-10's training part")
    parser.add_argument("--epochs", type=int, default=12, help="of CIFAR-10")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "proofs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        for each in ("digits", "cifar"):
            (scratch / each).mkdir()
        photos = unpacked(given.archive, scratch / "cifar10-jpeg", given.images)
        parts = [
            prove("digits", "cifar_resnet8", scratch / "digits", given.seed, epochs=15),
            prove(photos, "cifar_resnet8", scratch / "cifar", given.seed, epochs=given.epochs),
        ]
    command = (
        f"proofs/doubt.py {given.archive.name} --images {given.images} --epochs {given.epochs} --seed {given.seed}"
    )
    outcome = {
        "proof": "wrong labels, found again",
        "command": command,
        "parts": parts,
        "versions": {"torch": version("torch"), "python": platform.python_version(), "system": platform.platform()},
    }
    (given.out / "doubt.json").write_text(json.dumps(outcome, indent=1) + "\n")
    (given.out / "doubt.md").write_text(table(parts, command))
    for part in parts:
        print(part["data"], json.dumps(part["judges"]), part["test_top1"], file=sys.stderr)
    return 0 if all(part["judges"]["features"]["precision_of_first_n"] > 4 * FLIPPED for part in parts) else 1


if __name__ == "__main__":
    raise SystemExit(main())
