"""Proof: a small network learns which digits an image shows, two at a time, and so well.

    .venv/bin/python proofs/two_digits.py [--train 1600] [--test 400] [--epochs 20] [--seeds 3]

Two handwritten digits of scikit-learn's set stand side by side, 16 × 16 pixels, and both are labels; every eighth image
is empty and has none. Digits of the training part and of the test part stay apart. cifar_resnet8 trains on them with
the recipe fast; the thresholds are chosen on a tenth of the training images. Mean and standard deviation over the seeds
of training go to docs/proofs/two_digits.json. Exit 1 where a run is not shown to be better than guessing.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from residua.evaluation.evaluate import evaluate
from residua.evaluation.multilabel.report import MultilabelReport
from residua.training.loop import train

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from two_digits import two_digits  # noqa: E402

RATES = ("mean_average_precision", "macro_f1", "micro_f1", "exact_match")


def main() -> int:
    """Run the proof and write its outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--train", type=int, default=1600, help="training images")
    parser.add_argument("--test", type=int, default=400, help="test images")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "proofs")
    options = parser.parse_args()
    rows, better = [], True
    with tempfile.TemporaryDirectory() as name:
        data = two_digits(Path(name), options.train, options.test)
        for seed in range(options.seeds):
            began = time.monotonic()
            run = train(
                data / "PHOTOS",
                "cifar_resnet8",
                out=Path(name) / f"seed-{seed}",
                labels=data / "labels.csv",
                image_size=16,
                epochs=options.epochs,
                flip=False,
                keep="best",
                seed=seed,
                device="cpu",
                progress=False,
            )
            seconds = round(time.monotonic() - began, 1)
            report = evaluate(run)
            assert isinstance(report, MultilabelReport)
            better = better and report.mean_average_precision_interval[0] > report.baseline
            rows.append({"seed": seed, "seconds": seconds, **{rate: getattr(report, rate) for rate in RATES}})
            print(rows[-1], file=sys.stderr)
        guessing = report.baseline
    outcome = {
        "proof": "two digits an image, both labels",
        "command": f"proofs/two_digits.py --train {options.train} --test {options.test} --epochs {options.epochs} "
        f"--seeds {options.seeds}",
        "model": "cifar_resnet8",
        "guessing": guessing,
        "runs": rows,
        "mean": {rate: statistics.mean(row[rate] for row in rows) for rate in RATES},
        "deviation": {rate: statistics.stdev(row[rate] for row in rows) for rate in RATES},
        "versions": {"torch": version("torch"), "python": platform.python_version(), "system": platform.platform()},
    }
    (options.out / "two_digits.json").write_text(json.dumps(outcome, indent=1) + "\n")
    return 0 if better else 1


if __name__ == "__main__":
    raise SystemExit(main())
