"""Decoding ahead: Residua's threads beside SPDL's pipeline, with the same work per image.

    .venv/bin/python benchmarks/spdl_input.py [--photos FOLDER] [--seconds 110] [--workers N]

Both turn JPEG photos into normalised float batches of 3 × 224 × 224 with the same functions: read, draw a crop,
decode as finely as it needs, resize, normalise. They differ in who hands the work to threads and keeps the order:
`residua.data.ahead.in_order`, or a pipeline of `spdl-core` with as many threads, whose results come in the same order.
They alternate, epoch by epoch, in one process. The batches must be equal. SPDL is to be adopted where it is at
least 10% faster.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

import machine
from residua.data.decode.workers import default_workers
from residua.data.loader import Batch, Loader
from residua.data.open import open_dataset
from residua.data.preprocess.random_crop import Boxes, box_uniforms
from residua.data.shards.pack import pack
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import default_preprocess
from shard_inputs import in_turns, made_photos, report

RESULT = Path(__file__).parent / "results" / "spdl_input.json"
BATCH, SIDE, WANTED = 32, 224, 1.10
AUGMENT = AugmentSpec(crop="random_resized")


def open_loader(folder: Path, workers: int) -> Loader:
    """Return a loader that decodes every image in every epoch."""
    split = open_dataset(folder, val_fraction=0).splits["train"]
    return Loader(
        split,
        default_preprocess(SIDE),
        batch_size=BATCH,
        num_classes=2,
        train=True,
        augment=AUGMENT,
        workers=workers,
        window=len(split),
    )


def spdl_epoch(loader: Loader, epoch: int, workers: int) -> Iterator[Batch]:
    """Yield the batches of an epoch, made in the threads of a pipeline of SPDL."""
    from spdl.pipeline import PipelineBuilder

    maker: Any = loader._in_epoch(epoch)
    own = threading.local()

    def source() -> Iterator[tuple[int, Any]]:
        for draws in loader._pieces(epoch, 0):
            boxes = Boxes(box_uniforms(loader.seed, epoch, draws), AUGMENT)
            for row, draw in enumerate(draws):
                yield int(draw), functools.partial(boxes.fit, row)

    def make(item: tuple[int, Any]) -> tuple[int, Any]:
        if not hasattr(own, "set"):  # as Residua's threads do: torch splits nothing further
            own.set = torch.set_num_threads(1)
        return item[0], maker.store._make(item[0], item[1])

    def finish(items: list[tuple[int, Any]]) -> Batch:
        make_single()
        pixels = torch.from_numpy(np.stack([image for _, image in items])).permute(0, 3, 1, 2)
        return loader._finish(np.array([draw for draw, _ in items]), pixels, epoch, maker)

    def make_single() -> None:
        if not hasattr(own, "set"):
            own.set = torch.set_num_threads(1)

    pipeline = (
        PipelineBuilder()
        .add_source(source())
        .pipe(make, concurrency=workers, output_order="input")
        .aggregate(BATCH, drop_last=True)
        .pipe(finish, concurrency=1)
        .add_sink(3)
        .build(num_threads=workers)
    )
    with pipeline.auto_stop():
        yield from pipeline


def turn(batches: Iterator[Batch]) -> float:
    """Consume an epoch; return images per second."""
    start, images = time.perf_counter(), 0
    for batch in batches:
        images += len(batch.images)
    return images / (time.perf_counter() - start)


def measure(folder: Path, seconds: float, workers: int) -> dict[str, Any]:
    """Take turns until the time is over, after one unmeasured epoch each."""
    loader = open_loader(folder, workers)
    threads = torch.get_num_threads()
    entries = {"residua": lambda epoch: loader.epoch(epoch), "spdl": lambda epoch: spdl_epoch(loader, epoch, workers)}
    for one, other in zip(entries["residua"](0), entries["spdl"](0), strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)

    def timed(name: str, epoch: int) -> float:
        torch.set_num_threads(threads)
        return turn(entries[name](epoch))

    return report(
        in_turns({name: functools.partial(timed, name) for name in entries}, seconds),
        first="spdl",
        second="residua",
        ratio="spdl_times_ours",
        least=WANTED,
        wanted=f"adopt SPDL where the median ratio is at least {WANTED:.2f}",
        verdict="adopt",
        what="JPEG photos to normalised float batches of 3 × 224 × 224, images per second",
        peer=f"spdl-core {metadata.version('spdl-core')}: PipelineBuilder, the same work per image, the same order",
        images=len(loader.split),
        batch_size=BATCH,
        workers=workers,
    )


def main() -> None:
    """Make or take photos, pack them, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of two class folders; left out: 256 made photos")
    parser.add_argument("--seconds", type=float, default=100, help="of measuring")
    parser.add_argument("--workers", type=int, default=default_workers())
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        photos = given.photos or made_photos(Path(scratch) / "photos", 256)
        pack(open_dataset(photos, val_fraction=0), Path(scratch) / "shards")
        result = measure(Path(scratch) / "shards", given.seconds, given.workers)
    machine.write_result(given.out, result)
    print(given.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
