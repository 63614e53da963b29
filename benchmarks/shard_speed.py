"""Training from shards beside training from memory: `resnet18` at 224 pixels.

    .venv/bin/python benchmarks/shard_speed.py [--photos FOLDER] [--seconds 150] [--steps 10]

Both trainings read the same shards by the same recipe with the same seed. One decodes every image from its tar file in
every epoch, in the order by shards, as data do that are larger than memory. The other finds all images decoded in
memory. They alternate, the last optimizer steps of an epoch each, in one process. Stated are images per second of
whole steps, the waiting for the first batch included, and the ratio of the two turns of a round.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
from residua._base.console import Display
from residua.data.open import open_dataset
from residua.data.shards.pack import pack
from residua.training.plan import open_plan
from residua.training.request import ask
from residua.training.trainer import Trainer
from shard_inputs import in_turns, made_photos, report

RESULT = Path(__file__).parent / "results" / "shard_speed.json"
WANTED = 0.95


def open_trainer(shards: Path, out: Path, batch_size: int, window: int) -> Trainer:
    """Return a trainer with fresh weights; a window makes it take the images from the shards."""
    request = ask(
        str(shards), "resnet18", "fast", out, resume=False, weights="none", batch_size=batch_size, epochs=1000,
        image_size=224, val_fraction=0.1, shuffle_window=window,
    )  # fmt: skip
    return Trainer(open_plan(request), Display(False))


def turn(trainer: Trainer, epoch: int, steps: int) -> float:
    """Do the last steps of an epoch, for which nothing is prepared before or left after; return images per second."""
    start, images, train = time.perf_counter(), 0, trainer.plan.train
    for batch in train.epoch(epoch, train.steps_per_epoch - steps):
        trainer.step([batch])
        images += len(batch.images)
    trainer.read_losses()
    return images / (time.perf_counter() - start)


def measure(shards: Path, scratch: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Take turns until the time is over, after one unmeasured turn each."""
    os.environ["RESIDUA_CACHE"] = str(scratch / "cache")
    trainers = {
        "shards": open_trainer(shards, scratch / "a", given.batch_size, 1024),
        "memory": open_trainer(shards, scratch / "b", given.batch_size, 0),
    }
    hows = {name: trainer.plan.train.how for name, trainer in trainers.items()}
    assert hows == {"shards": "stream", "memory": "ragged"}, hows
    for trainer in trainers.values():
        turn(trainer, 0, 2)
    memory = trainers["memory"]
    ways = {name: functools.partial(turn, trainer, steps=given.steps) for name, trainer in trainers.items()}
    return report(
        in_turns(ways, given.seconds),
        first="shards",
        second="memory",
        ratio="shards_times_memory",
        least=WANTED,
        wanted=f"a median ratio of at least {WANTED:.2f}",
        verdict="holds",
        what="training resnet18 at 224 pixels, images per second of whole steps",
        peer="the same training with every image decoded in memory",
        batch_size=given.batch_size,
        steps_per_turn=given.steps,
        kernels=memory.kernels.name,
        computed_with=memory.computed_with(),
    )


def main() -> None:
    """Make or take photos, pack them, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of class folders; left out: 512 made photos")
    parser.add_argument("--seconds", type=float, default=140, help="of measuring")
    parser.add_argument("--steps", type=int, default=10, help="of each turn")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        photos = given.photos or made_photos(scratch / "photos", 512)
        pack(open_dataset(photos, val_fraction=0), scratch / "shards", shard_megabytes=5)
        result = measure(scratch / "shards", scratch, given)
    machine.write_result(given.out, result)
    print(given.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
