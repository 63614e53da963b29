"""Proof: training begins at once on 10,000 shards of 100 million images, in bounded memory.

    .venv/bin/python proofs/shard_index.py [--shards 10000] [--images 10000] [--folder FOLDER]

One shard of so many small images is packed. The others are hard links to it, and the compact index states all of them:
what is opened is a whole data set, every image of which can be read. A process of its own opens it, makes the loader
of a training, and takes a batch at the start of an epoch and one in the middle of another. Measured are the seconds
from `open_dataset` to the first batch, and by how much the largest resident memory of the process grows; torch's
libraries, which are resident before, are stated beside it. The outcome goes to docs/proofs/shard_index.json; exit 1
beyond 5 s or 500 MB, or where a batch differs when the same step is asked for again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from residua._base.files import sha256_file
from residua.data.dataset import Dataset, Split
from residua.data.image_source import ArrayImages
from residua.data.loader import Loader
from residua.data.open import open_dataset
from residua.data.shards.index import Index, Shard
from residua.data.shards.members import IndexFile, PartIndex
from residua.data.shards.pack import pack
from residua.data.shards.window import WINDOW
from residua.specs.preprocess import default_preprocess

ROOT = Path(__file__).parents[1]
CLASSES, SIDE, BATCH = 1000, 8, 256
MOST_SECONDS, MOST_MEGABYTES = 5.0, 500.0


def simulate(folder: Path, shards: int, images: int) -> None:
    """Write the data set: one real shard, links to it, and the index of all."""
    labels = np.arange(images) % CLASSES
    pixels = np.random.default_rng(0).integers(0, 256, (images, SIDE, SIDE, 3), np.uint8)
    names = tuple(f"class {number:04d}" for number in range(CLASSES))
    one = Dataset("simulated", names, {"train": Split("train", labels, ArrayImages(pixels))}, "0" * 64)
    index = pack(one, folder, shard_megabytes=100_000)
    first, part = index.shards[0], index.parts[0]
    for number in range(1, shards):
        os.link(folder / first.url, folder / f"train-{number:06d}.tar")
    files = {}
    for record in (part.labels, part.places):
        array = np.load(folder / record.url)
        (folder / record.url).unlink()
        whole = np.lib.format.open_memmap(folder / record.url, "w+", array.dtype, (shards * images, *array.shape[1:]))
        for number in range(shards):
            whole[number * images : (number + 1) * images] = array
        whole.flush()
        del whole
        path = folder / record.url
        files[record.url] = IndexFile(record.url, path.stat().st_size, sha256_file(path))
    counts = tuple(shards * count for count in part.class_counts)
    total = PartIndex("train", shards * images, counts, files[part.labels.url], files[part.places.url])
    listed = [
        Shard(f"train-{number:06d}.tar", images, first.filesize, first.sha256, "train") for number in range(shards)
    ]
    Index(names, tuple(listed), (total,)).write(folder)


def most_resident() -> float:
    """Return the largest resident memory of this process so far, megabytes; proc(5)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError("no VmHWM")


def measure(folder: Path) -> dict[str, Any]:
    """Open the data set and take batches; return seconds, megabytes and whether batches are the same again."""
    imports = most_resident()
    start = time.perf_counter()
    dataset = open_dataset(folder, val_fraction=0)
    opened = time.perf_counter() - start
    split = dataset.splits["train"]
    loader = Loader(
        split, default_preprocess(32), batch_size=BATCH, num_classes=CLASSES, train=True, window=WINDOW, workers=2
    )
    first = next(loader.epoch(0))
    to_first = time.perf_counter() - start
    middle = loader.steps_per_epoch // 2
    start = time.perf_counter()
    resumed = next(loader.epoch(7, middle))
    to_resumed = time.perf_counter() - start
    batches = loader.epoch(7, middle - 1)
    next(batches)
    same = torch.equal(next(batches).images, resumed.images)
    assert len(first.images) == BATCH
    assert int(dataset.describe()["class_counts"]["train"][0]) == len(split) // CLASSES
    return {
        "images": len(split),
        "seconds_to_open": round(opened, 2),
        "seconds_to_first_batch": round(to_first, 2),
        "seconds_to_batch_in_the_middle": round(to_resumed, 2),
        "megabytes": round(most_resident() - imports, 1),
        "megabytes_of_the_imports": round(imports, 1),
        "same_batch_when_asked_again": same,
    }


def main() -> int:
    """Simulate, measure in a process of its own, write the outcome."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=10_000, help="of each shard")
    parser.add_argument("--folder", type=Path, help="where the data set is simulated; it takes about 1.1 GB")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "proofs" / "shard_index.json")
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return 0
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        folder = Path(scratch) / "shards"
        simulate(folder, given.shards, given.images)
        words = [sys.executable, __file__, "--measure", str(folder)]
        outcome = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    within = outcome["seconds_to_first_batch"] <= MOST_SECONDS and outcome["megabytes"] <= MOST_MEGABYTES
    holds = within and outcome["same_batch_when_asked_again"]
    result = {
        "what": "the start of a training on simulated shards: opening, the first batch, a batch in mid-epoch",
        "shards": given.shards,
        **outcome,
        "wanted": f"at most {MOST_SECONDS:g} s to the first batch and {MOST_MEGABYTES:g} MB beside the imports",
        "holds": holds,
        "load_1min": round(os.getloadavg()[0], 2),
        "versions": {"python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__},
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
