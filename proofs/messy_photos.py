"""Proof: what a week's work on messy photos gains: check, doubt, correct, folds, reject, compare, export, sort.

    .venv/bin/python proofs/messy_photos.py ARCHIVE [--images 1500] [--later 300] [--epochs 12] [--seeds 3]

ARCHIVE is cifar10-jpeg.tar.gz. `tests/messy.py` makes the set: 5% of the labels wrong, a class at 2%, bursts, mixed
sizes and modes, three unknown classes. The commands of docs/week.md run on it, each as a person types it. A person who
knows the right labels reviews doubts.csv: rows in which the given label is right are deleted. Accuracies are those on
later photos whose labels are right: of the first run, of the run with corrections, and of a run on labels without
errors, which is the most that correcting can reach. The outcome goes to docs/proofs/messy_photos.json and .md after
each seed. Exit 1 where a command fails, or where correcting lowers the mean balanced accuracy by more than its spread.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from messy import KNOWN, make_messy_set, review  # noqa: E402 - it stands beside the tests that use it
from residua.cli.app import main as residua_command  # noqa: E402

OUTCOME = ROOT / "docs" / "proofs"
TABLE = ("--labels", "labels.csv", "--groups", "group")


def command(*words: str) -> dict[str, Any]:
    """Run a command as typed, with --json where it has that; return its document."""
    print("residua", *words, file=sys.stderr, flush=True)
    written = io.StringIO()
    with contextlib.redirect_stdout(written):
        code = residua_command([*words, "--json"])
    if code != 0:
        raise SystemExit(f"residua {' '.join(words)} ended with {code}")
    document: dict[str, Any] = json.loads(written.getvalue())
    return document


def week(archive: Path, folder: Path, images: int, later: int, epochs: int, seed: int) -> dict[str, Any]:
    """Do the week's work on a set of this seed; return what it shows."""
    began = time.monotonic()
    messy = make_messy_set(archive, folder, images, later, seed)
    os.chdir(folder)
    training = ("photos", *TABLE, "--model", "cifar_resnet8", "--balance", "logits", "--keep", "best")
    training = (*training, "--keep-by", "balanced_accuracy", "--epochs", str(epochs), "--seed", str(seed))
    command("check", "photos", *TABLE)
    command("train", *training, "--out", "runs/first")
    doubts = command("doubt", "runs/first", "--out", "doubts.html")
    doubted, corrected = review(Path("doubts.csv"), messy)
    corrections = ("--corrections", "doubts.csv")
    command("train", *training, *corrections, "--out", "runs/second")
    folds = command("train", *training, *corrections, "--folds", "3", "--out", "runs/folds")
    command("evaluate", "runs/second", "--calibrate", "--reject", "0.05")
    judged = command("evaluate", "runs/second", "later", "--labels", "later.csv", "--unknown", "others")
    together = command("evaluate", "runs/folds", "later", "--labels", "later.csv")
    compared = command("compare", "runs/first", "runs/second", "later", "--labels", "later.csv")
    command("export", "runs/second", "--format", "onnx", "--out", "exported")
    command("predict", "runs/second", "inbox", "--sort-into", "sorted")
    with open("right.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([("path", "label"), *((path, messy.truth[path]) for path in messy.wrong)])
    command("train", *training, "--corrections", "right.csv", "--out", "runs/clean")
    clean = command("evaluate", "runs/clean", "later", "--labels", "later.csv")
    rows = {row["name"]: row for row in compared["runs"]}
    unknown = judged["unknown"]
    inbox = {path.name: path.parent.name for path in Path("sorted").glob("*/*")}
    strangers = [where for name, where in inbox.items() if not name.startswith(KNOWN)]
    return {
        "seed": seed,
        "photos": len(messy.truth),
        "wrong_labels": len(messy.wrong),
        "doubted": doubted,
        "corrected": corrected,
        "estimated_share_of_wrong_labels": doubts["share"],
        "first": {key: rows["first"][key] for key in ("top1", "balanced_accuracy", "loss")},
        "second": {key: rows["second"][key] for key in ("top1", "balanced_accuracy", "loss")},
        "clean": {key: clean[key] for key in ("top1", "balanced_accuracy", "loss")},
        "folds_together": {key: together[key] for key in ("top1", "balanced_accuracy", "loss")},
        "out_of_fold": {key: folds["pooled"][key] for key in ("top1", "balanced_accuracy")},
        "unknown": {each["score"]: each["auroc"] for each in unknown["detections"]},
        "unknown_rejected": unknown["rejected"],
        "known_rejected": judged["rejection"]["rejected"],
        "inbox_strangers_in_unknown": sum(where == "unknown" for where in strangers) / len(strangers),
        "seconds": round(time.monotonic() - began, 1),
    }


def spread(values: list[float]) -> str:
    """Return mean ± standard deviation, in percent."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.fmean(values):.1f} ± {100 * deviation:.1f}"


def page(rows: list[dict[str, Any]], line: str) -> str:
    """Return the outcome as a short page."""
    names = {
        "first": "as labelled (5% wrong)",
        "second": "with the reviewed corrections",
        "folds_together": "three folds with them, averaged",
        "clean": "no wrong label, for comparison",
    }
    lines = ["# A week's work on messy photos", "", f"`{line}`", ""]
    lines += [f"On later photos with right labels, mean ± deviation over {len(rows)} seeds, in percent.", ""]
    lines += ["| run | top-1 | balanced accuracy | loss |", "|---|---|---|---|"]
    for key, name in names.items():
        rates = [spread([row[key][rate] for row in rows]) for rate in ("top1", "balanced_accuracy")]
        loss = statistics.fmean(row[key]["loss"] for row in rows)
        lines.append(f"| {name} | {rates[0]} | {rates[1]} | {loss:.3f} |")
    gains = [row["second"]["balanced_accuracy"] - row["first"]["balanced_accuracy"] for row in rows]
    lines += ["", f"Correcting moves balanced accuracy by {spread(gains)} points, seed by seed.", ""]
    total = {key: sum(row[key] for row in rows) for key in ("photos", "wrong_labels", "doubted", "corrected")}
    lines += [
        f"Of {total['photos']:,} photos {total['wrong_labels']} labels were wrong; `doubt` listed {total['doubted']}, "
        f"and {total['corrected']} of the wrong ones were among them.",
        "",
        f"Of photos of unknown classes {spread([row['unknown_rejected'] for row in rows])}% were answered unknown, of "
        f"later photos of the five {spread([row['known_rejected'] for row in rows])}%. Best score: AUROC "
        f"{statistics.fmean(max(row['unknown'].values()) for row in rows):.3f}.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    """Run the proof and write its outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--later", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    line = (
        f"proofs/messy_photos.py {given.archive.name} --images {given.images} --later {given.later} "
        f"--epochs {given.epochs} --seeds {given.seeds}"
    )
    archive, rows = given.archive.resolve(), []
    scratch = Path(tempfile.mkdtemp())
    try:
        for seed in range(given.seeds):
            rows.append(week(archive, scratch / str(seed), given.images, given.later, given.epochs, seed))
            print(rows[-1], file=sys.stderr, flush=True)
            versions = {"torch": version("torch"), "python": platform.python_version(), "system": platform.platform()}
            document = {"proof": "a week's work on messy photos", "command": line, "seeds": rows, "versions": versions}
            (OUTCOME / "messy_photos.json").write_text(json.dumps(document, indent=1) + "\n")
            (OUTCOME / "messy_photos.md").write_text(page(rows, line))
    finally:
        os.chdir(ROOT)
        shutil.rmtree(scratch, ignore_errors=True)
    before, after = ([row[key]["balanced_accuracy"] for row in rows] for key in ("first", "second"))
    margin = statistics.stdev(before) if len(before) > 1 else 0.05
    return 0 if statistics.fmean(after) >= statistics.fmean(before) - margin else 1


if __name__ == "__main__":
    raise SystemExit(main())
