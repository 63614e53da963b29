"""Training `cifar_resnet20`, batch 128, on this CPU: Residua beside the plain PyTorch loop, end to end with data.

    python benchmarks/train_speed.py [FOLDER] [--steps 10] [--rounds 12] [--out benchmarks/results/train_speed.json]

FOLDER holds class folders of 32 × 32 images, or a train/ with them; without it, noise is written to a scratch folder.
The peer is `peer_loop.py`, with the better of 0 and 2 DataLoader workers. All take turns in one process, some steps
each; a round's ratio compares neighbours in time, and the median over the rounds is the outcome. Residua's side is its
own trainer with the recipe `fast`: loader, augmentation, schedule, optimizer, all that `residua train` does
between checkpoints.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import peer_loop
from machine import describe, write_result
from residua._base.console import Display
from residua.runtime import native
from residua.training.plan import open_plan
from residua.training.request import ask
from residua.training.trainer import Trainer

MODEL, BATCH = "cifar_resnet20", 128
WANTED = 2.5
# The peer's workers fill their queues while the other side computes; they are given the time to finish before.
PAUSE_SECONDS = 0.5

Turn = Callable[[int], None]


def write_noise(folder: Path, count: int = 6400, classes: int = 10) -> None:
    """Write `count` JPEGs of noise: training speed does not depend on what they show."""
    random = np.random.default_rng(0)
    for index in range(count):
        place = folder / f"class{index % classes}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(place / f"{index}.jpg")


def peer_turn(folder: Path, workers: int) -> Turn:
    """Return what does a number of the peer's steps."""
    loader = peer_loop.train_loader(folder, BATCH, workers)
    torch.manual_seed(0)
    model = peer_loop.ResNet(len(loader.dataset.classes)).train()  # type: ignore[attr-defined]
    optimizer = peer_loop.sgd(model)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))

    def turn(steps: int) -> None:
        for images, labels in itertools.islice(batches, steps):
            peer_loop.step(model, optimizer, images, labels)

    return turn


def our_turn(folder: Path, scratch: Path) -> tuple[Turn, Trainer]:
    """Return what does a number of Residua's steps, and the trainer that does them."""
    edits = {"val_fraction": 0, "batch_size": BATCH, "device": "cpu"}
    plan = open_plan(ask(folder, MODEL, "fast", scratch / "run", resume=False, **edits))
    trainer = Trainer(plan, Display(False))

    def groups() -> Iterator[Any]:
        while True:
            yield from trainer.groups()
            trainer.state.epoch, trainer.state.step = (trainer.state.epoch + 1) % plan.recipe.epochs, 0

    endless = groups()

    def turn(steps: int) -> None:
        for group in itertools.islice(endless, steps):
            trainer.step(group)

    return turn, trainer


def seconds(turn: Turn, steps: int) -> float:
    """Time a turn, a step."""
    time.sleep(PAUSE_SECONDS)
    start = time.perf_counter()
    turn(steps)
    return (time.perf_counter() - start) / steps


def spread(values: list[float], scale: float = 1.0) -> dict[str, float]:
    """Return median, least and greatest."""
    numbers = {"median": statistics.median(values), "least": min(values), "greatest": max(values)}
    return {name: round(scale * value, 3) for name, value in numbers.items()}


def measure(folder: Path, steps: int, rounds: int) -> dict[str, Any]:
    """Take turns for `rounds`, after one unmeasured turn each."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        ours, trainer = our_turn(folder, Path(scratch))
        turns = {"residua": ours, "peer, 0 workers": peer_turn(folder, 0), "peer, 2 workers": peer_turn(folder, 2)}
        times: dict[str, list[float]] = {name: [] for name in turns}
        for number in range(rounds + 1):
            for name, turn in turns.items():
                found = seconds(turn, steps if number else 3)
                if number:
                    times[name].append(found)
    peer = min(("peer, 0 workers", "peer, 2 workers"), key=lambda name: statistics.median(times[name]))
    ratios = [theirs / own for theirs, own in zip(times[peer], times["residua"], strict=True)]
    return {
        "what": f"training {MODEL}, batch {BATCH}, fp32, images a second with data loading and augmentation",
        "peer": "plain PyTorch (benchmarks/peer_loop.py): ImageFolder, DataLoader, NCHW, eager",
        "peer_taken": peer,
        "images_per_second": {name: spread([BATCH / t for t in values]) for name, values in times.items()},
        "milliseconds_a_step": {name: spread(values, 1e3) for name, values in times.items()},
        "times_the_peer": spread(ratios),
        "times_the_peer_fastest_turns": round(min(times[peer]) / min(times["residua"]), 3),
        "wanted": WANTED,
        "holds": statistics.median(ratios) >= WANTED,
        "kernels": trainer.kernels.name,
        "native_reason": native.reason(),
        "precision": trainer.plan.hardware.sentence,
        "images": len(trainer.plan.dataset.splits["train"]),
        "steps_a_turn": steps,
        "rounds": rounds,
        "load_before": load,
        "machine": describe(),
    }


def table(result: dict[str, Any]) -> str:
    """Return the outcome as a Markdown table."""
    lines = ["| | images/s, median | least | greatest |", "|---|---|---|---|"]
    for name, row in result["images_per_second"].items():
        lines.append(f"| {name} | {row['median']:.0f} | {row['least']:.0f} | {row['greatest']:.0f} |")
    ratio = result["times_the_peer"]
    lines.append(
        f"\n{ratio['median']:.2f} times the peer (round by round {ratio['least']:.2f} to {ratio['greatest']:.2f}; "
        f"wanted {result['wanted']}); {result['machine']['processor']}, load before {result['load_before']:.1f}"
    )
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/train_speed.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch) / "noise"
        if given.folder is None:
            write_noise(folder)
        elif (folder / "train").is_dir():
            folder /= "train"
        result = {
            "folder": given.folder.resolve().name if given.folder else "noise",
            **measure(folder, given.steps, given.rounds),
        }
    write_result(given.out, result)
    given.out.with_suffix(".md").write_text(table(result) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
