"""Photos to training batches: Residua's loader beside torchvision's ImageFolder with torch's DataLoader.

Both read the same folder with the same number of workers, take a random resized crop of 224, flip, normalise and
yield float batches; they alternate, epoch by epoch, in one process. In Residua's epochs freed memory is kept, as
`residua train` does; in the peer's glibc has its own limits. Residua is measured twice: `stream` decodes every photo in
every epoch, as the peer does; `kept` is what a folder below 2 GiB of pixels gets by default, decoded once.

    python benchmarks/input_pipeline.py FOLDER [--workers 2] [--rounds 7] [--out benchmarks/results/input_pipeline.json]

Results of other processors stay in the file.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import PIL
import simplejpeg
import torch
import torchvision
from torchvision import transforms

from machine import set_memory
from residua._base.files import write_text
from residua.data.decode import decode
from residua.data.decoded import cache
from residua.data.loader import Loader
from residua.data.open import open_dataset
from residua.runtime.processor import processor
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import PreprocessSpec

WANTED = 2.0
SPEC = PreprocessSpec(224, 256)
AUGMENT = AugmentSpec(crop="random_resized", scale=(0.25, 1.0), flip=True)


def peer_epoch(folder: Path, batch_size: int, workers: int) -> Callable[[int], Iterable[Any]]:
    """Return the epoch function of torchvision's tutorial pipeline, with workers that persist between epochs."""
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(SPEC.image_size, scale=AUGMENT.scale, ratio=AUGMENT.ratio),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(SPEC.mean, SPEC.std),
        ]
    )
    loader = torch.utils.data.DataLoader(
        torchvision.datasets.ImageFolder(str(folder), transform),
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    return lambda epoch: loader


def our_epoch(
    folder: Path, batch_size: int, workers: int, *, stream: bool
) -> tuple[str, Callable[[int], Iterable[Any]]]:
    """Return how the loader keeps pixels, and its epoch function."""
    budget = cache.BUDGET_BYTES
    cache.BUDGET_BYTES = 0 if stream else budget
    try:
        loader = Loader(
            open_dataset(folder, val_fraction=0).splits["train"],
            SPEC,
            batch_size=batch_size,
            num_classes=2,
            train=True,
            augment=AUGMENT,
            workers=workers,
        )
    finally:
        cache.BUDGET_BYTES = budget
    return loader.how, loader.epoch


def processor_seconds() -> float:
    """Return the processor time of this process and of its living children."""
    total = time.process_time()
    for child in multiprocessing.active_children():
        user, system = Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
        total += (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
    return total


def one_epoch(epoch: Callable[[int], Iterable[Any]], number: int) -> tuple[float, float]:
    """Run one epoch; return images per second, and milliseconds of processor time per image."""
    start, used, images = time.perf_counter(), processor_seconds(), 0
    for batch in epoch(number):
        pictures = batch.images if hasattr(batch, "images") else batch[0]
        assert pictures.dtype == torch.float32
        assert tuple(pictures.shape[1:]) == (3, SPEC.image_size, SPEC.image_size)
        images += len(pictures)
    return images / (time.perf_counter() - start), (processor_seconds() - used) / images * 1e3


def decode_floor(folder: Path) -> dict[str, float]:
    """Return milliseconds of processor time per photo: decoding at full scale, and at the least scale, an eighth.

    At an eighth nearly all is Huffman decoding, which a crop of any size and scale needs.
    """
    photos = [path.read_bytes() for path in sorted(folder.glob("*/*.jpg"))]
    least = {}
    for name, side in (("full scale", None), ("an eighth", 1)):
        times = []
        for _ in range(5):
            start = time.process_time()
            for photo in photos:
                decode(photo, min_side=side)
            times.append((time.process_time() - start) / len(photos) * 1e3)
        least[name] = round(min(times), 3)
    return least


def summary(speeds: list[float]) -> dict[str, float]:
    """Return the median, minimum and maximum."""
    return {"median": statistics.median(speeds), "least": min(speeds), "greatest": max(speeds)}


def measure(folder: Path, workers: int, rounds: int, batch_size: int) -> dict[str, Any]:
    """Take turns for `rounds` epochs after one unmeasured epoch each."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["RESIDUA_CACHE"] = scratch
        names = {"peer": peer_epoch(folder, batch_size, workers)}
        for stream in (True, False):
            start = time.perf_counter()
            how, epoch = our_epoch(folder, batch_size, workers, stream=stream)
            opening = time.perf_counter() - start
            assert how == ("stream" if stream else "ragged")
            names["stream" if stream else "kept"] = epoch
        speeds: dict[str, list[float]] = {name: [] for name in names}
        work: dict[str, list[float]] = {name: [] for name in names}
        for number in range(rounds + 1):
            for name, epoch in names.items():
                set_memory(ours=name != "peer")
                speed, milliseconds = one_epoch(epoch, number)
                if number:
                    speeds[name].append(speed)
                    work[name].append(milliseconds)
    ratios = {
        name: summary([ours / theirs for ours, theirs in zip(speeds[name], speeds["peer"], strict=True)])
        for name in ("stream", "kept")
    }
    return {
        "what": "photos to float batches of 3 × 224 × 224, images a second",
        "peer": "torchvision ImageFolder, RandomResizedCrop, flip, ToTensor, Normalize; torch DataLoader",
        "folder": folder.resolve().parent.name,
        "batch_size": batch_size,
        "workers": workers,
        "rounds": rounds,
        "images_per_second": {name: summary(values) for name, values in speeds.items()},
        "times_the_peer": ratios,
        "seconds_to_decode_once": opening,
        "processor_milliseconds_an_image": {name: summary(values) for name, values in work.items()},
        "decoding_milliseconds_an_image": decode_floor(folder),
        "times_wanted": WANTED,
        "holds": {name: ratio["median"] >= WANTED for name, ratio in ratios.items()},
        "machine": {
            "processor": processor().name,
            "cores": len(os.sched_getaffinity(0)),
            "load_before": LOAD,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "pillow": PIL.__version__,
            "simplejpeg": simplejpeg.__version__,
        },
    }


LOAD = os.getloadavg()[0]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder of class folders with photos")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/input_pipeline.json"))
    given = parser.parse_args()
    result = measure(given.folder, given.workers, given.rounds, given.batch_size)
    cases = json.loads(given.out.read_text())["processors"] if given.out.exists() else {}
    cases[processor().name] = result
    write_text(given.out, json.dumps({"processors": cases}, indent=2, ensure_ascii=False) + "\n")
    print(json.dumps(result, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
