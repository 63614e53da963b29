"""Ten crops per photo beside one, alternating: reading, decoding and scores included.

    python benchmarks/ten_crop.py PHOTOS [--model resnet18] [--images 32] [--rounds 7] [--threads 1]
        [--out benchmarks/results/ten_crop.json]

PHOTOS is a folder of class folders, such as hymenoptera's val. The network has fresh weights; a round does both once.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch

from machine import describe, spread, write_result
from residua.data.open import open_dataset
from residua.data.splitting import balanced
from residua.evaluation.scores.options import ScoreOptions
from residua.evaluation.scores.scores import collect
from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.specs.preprocess import default_preprocess

LIMIT = 10.5


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/ten_crop.json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    spec = get_spec(given.model)
    network, preprocess = build(spec).eval(), default_preprocess(spec.input_size)
    part = open_dataset(given.photos, on_bad="skip").splits["train"]
    split = part.subset(balanced(part.labels, given.images, seed=0))
    options = ScoreOptions(device="cpu")

    def seconds(views: str) -> float:
        start = time.perf_counter()
        collect(network, split, preprocess, options, views=views, num_classes=spec.num_classes)
        return time.perf_counter() - start

    rows = []
    for number in range(given.rounds + 1):
        row = {views: seconds(views) for views in (("1", "10crop") if number % 2 else ("10crop", "1"))}
        if number:  # the first warms up
            rows.append(row)
    ratio = spread([row["10crop"] / row["1"] for row in rows])
    result = {
        "what": "seconds of a pass of ten crops over those of a pass of one",
        "model": given.model,
        "images": len(split),
        "rounds": given.rounds,
        "seconds": {views: spread([row[views] for row in rows]) for views in ("1", "10crop")},
        "ratio": ratio,
        "wanted": LIMIT,
        "machine": describe(),
    }
    write_result(given.out, result)
    print(f"10-crop / single crop: {ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f}), at most {LIMIT}")


if __name__ == "__main__":
    main()
