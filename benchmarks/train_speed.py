"""Training end to end on this CPU: Residua beside the plain PyTorch loop, and beside one that is tuned by hand.

    python benchmarks/train_speed.py [FOLDER] [--network cifar_resnet20] [--steps 10] [--rounds 12] [--out FILE]

FOLDER holds class folders of images, or a train/ with them; without it, noise is written to a scratch folder. Images
have 32 pixels in batches of 128 for `cifar_resnet20`, 224 in batches of 16 for `resnet18` and `resnet50`.

Peers: `peer_loop.py` with the better of 0 and 2 DataLoader workers; `tuned_loop.py` with the better of fp32 and bf16.
All take turns in one process, some steps each; a round's ratio compares neighbours in time, and the median over the
rounds is the outcome. Each round also samples the rates of matrix products: the floor of a step (`floor.py`).
Residua's side is its own trainer with the recipe `fast` and the arithmetic that it measures at the start of a long run:
loader, augmentation, schedule, optimizer, all that `residua train` does between checkpoints. As there, freed memory is
kept in its turns; in those of the peers glibc has the limits that it comes to by itself.
Results of other networks and processors stay in the file.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.models import get_model

import floor
import peer_loop
import tuned_loop
from machine import describe, set_memory, write_result
from residua._base.console import Display
from residua._base.signals import StopRequest
from residua.bench.case import Case
from residua.bench.yardsticks import Yardstick
from residua.runtime import native
from residua.runtime.engines.names import Precision
from residua.runtime.processor import processor
from residua.training.plan import open_plan
from residua.training.request import ask
from residua.training.trainer import Trainer
from residua.training.trials.fastest_step import computing, fastest_step

MODEL, BATCH = "cifar_resnet20", 128
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
# The peer's workers fill their queues while the other side computes; they are given the time to finish before.
PAUSE_SECONDS = 0.5
_LONG_STEPS = 2000  # of a run that measures its arithmetic, but does not pay for compiling


class Setting(NamedTuple):
    """A network, what it is fed, and the ratios to the peers that are wanted; `or_else` without bf16 instructions."""

    side: int
    batch: int
    plain: float
    tuned: float
    or_else: float = 0.0


SETTINGS = {
    "cifar_resnet20": Setting(32, 128, 3.2, 1.3),
    "resnet18": Setting(224, 16, 2.2, 1.0, 1.3),
    "resnet50": Setting(224, 16, 2.2, 1.0, 1.3),
}

Turn = Callable[[int], None]


def write_noise(folder: Path, count: int = 6400, classes: int = 10, side: int = 32) -> None:
    """Write `count` JPEGs of noise: training speed does not depend on what they show."""
    random = np.random.default_rng(0)
    for index in range(count):
        place = folder / f"class{index % classes}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8)).save(place / f"{index}.jpg")


def network(name: str, classes: int) -> nn.Module:
    """Return the peers' network, in training mode."""
    return (peer_loop.ResNet(classes) if name == MODEL else get_model(name, num_classes=classes)).train()


def peer_turn(folder: Path, workers: int, name: str = MODEL) -> Turn:
    """Return what does a number of the plain loop's steps."""
    setting = SETTINGS[name]
    loader = peer_loop.train_loader(folder, setting.batch, workers, setting.side)
    torch.manual_seed(0)
    model = network(name, len(loader.dataset.classes))  # type: ignore[attr-defined]
    optimizer = peer_loop.sgd(model, 0.1 if name == MODEL else 0.01)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))

    def turn(steps: int) -> None:
        for images, labels in itertools.islice(batches, steps):
            peer_loop.step(model, optimizer, images, labels)

    return turn


def tuned_turn(data: tuned_loop.InMemory, *, bf16: bool, name: str = MODEL) -> Turn:
    """Return what does a number of the tuned loop's steps."""
    torch.manual_seed(0)
    model = network(name, int(data.labels.max()) + 1).to(memory_format=torch.channels_last)
    optimizer = tuned_loop.sgd(model)
    batches = data.batches()

    def turn(steps: int) -> None:
        for images, labels in itertools.islice(batches, steps):
            tuned_loop.step(model, optimizer, images, labels, bf16=bf16)

    return turn


def our_turn(folder: Path, scratch: Path, name: str = MODEL, *, measured: bool = False) -> tuple[Turn, Trainer]:
    """Return what does a number of Residua's steps, and the trainer that does them.

    Args:
        folder: of class folders.
        scratch: where the run's folder would be.
        name: of the network.
        measured: whether the arithmetic is measured, as at the start of a long run.
    """
    setting = SETTINGS[name]
    edits = {"val_fraction": 0, "batch_size": setting.batch, "device": "cpu", "image_size": setting.side}
    plan = open_plan(ask(folder, name, "fast", scratch / "run", resume=False, weights="none", **edits))
    if measured:
        with StopRequest("") as stop:
            fastest = fastest_step(dataclasses.replace(plan, total_steps=_LONG_STEPS), stop)
        plan = computing(plan, fastest) if fastest else plan
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


def measure(folder: Path, name: str, steps: int, rounds: int) -> dict[str, Any]:
    """Take turns for `rounds`, after one unmeasured turn each."""
    load, setting = os.getloadavg()[0], SETTINGS[name]
    side, batch = setting.side, setting.batch
    has_bf16 = bool(processor().flags & {"avx512_bf16", "amx_bf16"})
    data = tuned_loop.InMemory(folder, setting.side, setting.side if name == MODEL else 256, setting.batch)
    with tempfile.TemporaryDirectory() as scratch:
        kept = set_memory(ours=True)  # before the arithmetic is measured, as in `residua train`
        ours, trainer = our_turn(folder, Path(scratch), name, measured=True)
        turns = {"residua": ours}
        turns |= {f"plain, {workers} workers": peer_turn(folder, workers, name) for workers in (0, 2)}
        turns |= {f"tuned, {kind}": tuned_turn(data, bf16=kind == "bf16", name=name) for kind in ("fp32", "bf16")}
        times: dict[str, list[float]] = {entry: [] for entry in turns}
        cases = [Case(name, "residua", "train", "eager", kind, batch, side) for kind in PRECISIONS]
        products = {case.precision: Yardstick(case, torch.device("cpu")) for case in cases}
        for number in range(rounds + 1):
            for entry in list(turns)[:: -1 if number % 2 else 1]:
                set_memory(ours=entry == "residua")
                took = seconds(turns[entry], steps if number else 3)
                if number:
                    times[entry].append(took)
            for yardstick in products.values():
                yardstick.measure()
    plain = setting.plain if has_bf16 or not setting.or_else else setting.or_else
    ratios, wanted = {}, {"plain": plain, "tuned": setting.tuned}
    for kind in wanted:
        peer = min((entry for entry in times if entry.startswith(kind)), key=lambda key: statistics.median(times[key]))
        values = [theirs / own for theirs, own in zip(times[peer], times["residua"], strict=True)]
        ratios[kind] = {
            "peer_taken": peer, "times_the_peer": spread(values), "wanted": wanted[kind],
            "holds": statistics.median(values) >= wanted[kind],
        }  # fmt: skip
    return {
        "what": f"training {name} at {side} pixels, batch {batch}, images per second, with data loading and "
        "augmentation",
        "peers": "plain (peer_loop.py): ImageFolder, DataLoader, NCHW, fp32, eager; tuned (tuned_loop.py): in memory, "
        "channels last, fp32 or bf16, eager",
        "images_per_second": {entry: spread([setting.batch / t for t in values]) for entry, values in times.items()},
        "ratios": ratios,
        "floor": floor_of(
            name, statistics.median(times["residua"]), {kind: each.rate for kind, each in products.items()}
        ),
        "kernels": trainer.kernels.name,
        "native_reason": native.reason(),
        "arithmetic": trainer.plan.arithmetic.sentence if trainer.plan.arithmetic else "",
        "precision": trainer.plan.hardware.sentence,
        "images": len(trainer.plan.dataset.splits["train"]),
        "freed_memory": "kept in Residua's turns, given back in the peers'" if kept else "given back",
        "steps_a_turn": steps,
        "rounds": rounds,
        "load_before": load,
        "machine": describe(),
    }


def floor_of(name: str, seconds: float, rates: dict[str, float]) -> dict[str, Any]:
    """Return what a step of `name` would take by its arithmetic or its bytes alone, as shares of the `seconds` it took.

    Args:
        name: of the network.
        seconds: of Residua's step.
        rates: of large matrix products, operations per second, by precision.
    """
    setting, copies = SETTINGS[name], floor.copy_rate(torch.device("cpu"), 1 << 28)
    work = floor.step_work(name, setting.batch, setting.side)
    return {
        "what": "of a step: operations of convolutions done directly, and bytes in bf16 with every operation a kernel "
        "of its own; Winograd's form has fewer operations, fused kernels move fewer bytes",
        "operations": work.operations,
        "operations_per_second_of_products": rates,
        "share_of_arithmetic": {kind: round(work.operations / rate / seconds, 3) for kind, rate in rates.items()},
        "bytes": work.bytes,
        "bytes_per_second_of_copies": copies,
        "share_of_copies": round(work.bytes / copies / seconds, 3),
    }


def table(cases: dict[str, dict[str, Any]]) -> str:
    """Return the outcome as a Markdown table."""
    lines = ["| network | processor | ours, images/s | beside | their images/s | times theirs | wanted | load before |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for case in cases.values():
        rates = case["images_per_second"]
        for ratio in case["ratios"].values():
            own, other, times = rates["residua"], rates[ratio["peer_taken"]], ratio["times_the_peer"]
            lines.append(
                f"| {case['what'].split(',')[0].removeprefix('training ')} | {case['machine']['processor']} | "
                f"{_words(own)} | {ratio['peer_taken']} | {_words(other)} | "
                f"{times['median']:.2f} ({times['least']:.2f} to {times['greatest']:.2f}) | {ratio['wanted']} | "
                f"{case['load_before']:.1f} |"
            )
    return "\n".join(lines)


def _words(rates: dict[str, float]) -> str:
    median, least, greatest = (f"{rates[key]:,.0f}" if rates["median"] >= 100 else f"{rates[key]:.1f}" for key in rates)
    return f"{median} ({least} to {greatest})"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--network", choices=SETTINGS, default=MODEL)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/train_speed.json")
    given = parser.parse_args()
    setting = SETTINGS[given.network]
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch) / "noise"
        if given.folder is None:
            write_noise(folder, *((6400, 10, 32) if setting.side == 32 else (320, 10, 256)))
        elif (folder / "train").is_dir():
            folder /= "train"
        result = {
            "folder": given.folder.resolve().name if given.folder else "noise",
            **measure(folder, given.network, given.steps, given.rounds),
        }
    cases = json.loads(given.out.read_text())["cases"] if given.out.exists() else {}
    cases[f"{given.network}, {result['machine']['processor']}"] = result
    write_result(given.out, {"cases": cases})
    given.out.with_suffix(".md").write_text(table(cases) + "\n")
    print(table(cases))


if __name__ == "__main__":
    main()
