"""The test accuracy that `residua train` reaches in a given time on this machine, from images to a tested network.

    python benchmarks/accuracy_in_time.py [--cifar FOLDER] [--only "digits" "CIFAR-10, 5 minutes"] [--seeds 3]
        [--minutes 90] [--no-peer] [--out FILE]

FOLDER holds CIFAR-10 as JPEG in train/ and test/. Every goal is one command with the recipe `fast`, once per seed, in
a process of its own and with an empty cache. The clock runs from the start of the process to its end: imports, the
decoding of the images, compiling and choosing kernels, training, and the final test count.

The peer is the plain loop of `peer_loop.py` with He 2015's recipe at its first learning rate, stopped after the same
seconds, one seed; its test and its imports are outside its clock. Each finished run is recorded at once, and the same
command goes on. A goal holds where every seed keeps the time and the mean accuracy reaches it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch

import peer_loop
import residua
from machine import TimeLimit, describe, write_result

RESULT = Path(__file__).parent / "results" / "accuracy_in_time.json"


class Goal(NamedTuple):
    """What is trained, in what time, to what accuracy."""

    name: str
    data: str
    words: tuple[str, ...]
    seconds: float
    top1: float


_SMALL = ("--model", "cifar_resnet20", "--val-fraction", "0", "--alternate-flip", "--final-views", "flip")
# More time pays for more channels where feature maps are small, not for more epochs of the network as it is: 23 of them
# gave 88.2%.
_WIDE = (*_SMALL, "--set", "depths=1,3,3", "--set", "widths=16,64,128", "--label-smoothing", "0.1")
GOALS = (
    Goal("digits", "digits", ("--model", "cifar_resnet8", "--val-fraction", "0", "--epochs", "24"), 30, 0.99),
    Goal("CIFAR-10, 5 minutes", "cifar", (*_SMALL, "--epochs", "7"), 300, 0.85),
    Goal("CIFAR-10, 15 minutes", "cifar", (*_WIDE, "--epochs", "12"), 900, 0.895),
)


def ours(goal: Goal, data: str, seed: int) -> dict[str, Any]:
    """Train by the command in a process of its own; return seconds, rate and accuracy."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        words = [sys.executable, "-m", "residua", "train", data, *goal.words, "--seed", str(seed), "--out", str(out)]
        start = time.perf_counter()
        subprocess.run(words, check=True, capture_output=True, env={**os.environ, "RESIDUA_CACHE": scratch})
        seconds = time.perf_counter() - start
        metrics = residua.load(out).metrics
        last = json.loads((out / "history.jsonl").read_text().splitlines()[-1])
    return {
        "seed": seed,
        "seconds": seconds,
        "training_seconds": last["seconds"],
        "images_per_second": last["images_per_second"],
        "epochs": metrics["epochs"],
        "images": metrics["count"],
        "top1": metrics["top1"],
        "load_before": load,
    }


def peer(goal: Goal, folder: Path) -> dict[str, Any]:
    """Train the plain loop for as many seconds as the goal has, then test it."""
    torch.manual_seed(0)
    batches = peer_loop.train_loader(folder / "train", 128, 2)
    model = peer_loop.ResNet().train()
    optimizer = peer_loop.sgd(model)
    start, images = time.perf_counter(), 0
    while time.perf_counter() - start < goal.seconds:
        for pixels, labels in batches:
            peer_loop.step(model, optimizer, pixels, labels)
            images += len(labels)
            if time.perf_counter() - start >= goal.seconds:
                break
    seconds = time.perf_counter() - start
    top1 = peer_loop.accuracy(model, peer_loop.test_loader(folder / "test", 256, 2))
    return {"seconds": seconds, "epochs": images / len(batches.dataset), "top1": top1}  # type: ignore[arg-type]


def verdict(goal: Goal, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare with what is wanted."""
    tops = [run["top1"] for run in runs]
    slowest = max(run["seconds"] for run in runs)
    return {
        "top1_mean": statistics.fmean(tops),
        "top1_sd": statistics.stdev(tops) if len(tops) > 1 else None,
        "top1_wanted": goal.top1,
        "seconds_most": slowest,
        "seconds_allowed": goal.seconds,
        "holds": statistics.fmean(tops) >= goal.top1 and slowest <= goal.seconds,
    }


def table(document: dict[str, Any]) -> str:
    """Return the outcome as a Markdown table."""
    lines = ["| | command | seeds | test top-1 | seconds | the plain loop in that time |", "|---|---|---|---|---|---|"]
    for goal in GOALS:
        rows = document["goals"].get(goal.name)
        if not rows or not rows["ours"]:
            continue
        outcome, other = rows["verdict"], rows["peer"]
        sd = "" if outcome["top1_sd"] is None else f" ± {100 * outcome['top1_sd']:.2f}"
        seconds = [row["seconds"] for row in rows["ours"]]
        took = f"{statistics.median(seconds):.0f} ({min(seconds):.0f} to {max(seconds):.0f})"
        beside = f"{other['top1']:.2%} after {other['epochs']:.1f} epochs" if other else "not run"
        lines.append(
            f"| {goal.name} | `residua train {goal.data} {' '.join(goal.words)}` | {len(seconds)} "
            f"| {outcome['top1_mean']:.2%}{sd} (wanted {goal.top1:.1%}) | {took}; {goal.seconds:.0f} allowed "
            f"| {beside} |"
        )
    machine = document["machine"]
    return "\n".join([*lines, "", f"{machine['processor']}, {machine['threads']}. CIFAR-10 as JPEG files.", ""])


def record(out: Path, goals: dict[str, Any]) -> None:
    """Write the result and its table."""
    document = {"machine": describe(), "goals": goals}
    write_result(out, document)
    out.with_suffix(".md").write_text(table(document))


def main() -> None:
    """Go through seeds and goals until all is done or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, help="without it, digits alone")
    parser.add_argument("--only", nargs="*", choices=[goal.name for goal in GOALS])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=90)
    parser.add_argument("--no-peer", action="store_true", help="leave the plain loop for another time")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    limit = TimeLimit(asked.minutes)
    goals: dict[str, dict[str, Any]] = json.loads(asked.out.read_text())["goals"] if asked.out.exists() else {}
    here = [goal for goal in GOALS if asked.cifar or goal.data == "digits"]
    chosen = [goal for goal in here if not asked.only or goal.name in asked.only]
    for goal in chosen:
        rows = goals.setdefault(goal.name, {"ours": [], "peer": None})
        data = str(asked.cifar) if goal.data == "cifar" else goal.data
        for seed in range(len(rows["ours"]), asked.seeds):
            if limit.is_over():
                return
            rows["ours"].append(ours(goal, data, seed))
            rows["verdict"] = verdict(goal, rows["ours"])
            print(f"{goal.name}: {rows['ours'][-1]}", flush=True)
            record(asked.out, goals)
        if goal.data == "cifar" and rows["peer"] is None and not asked.no_peer:
            rows["peer"] = peer(goal, asked.cifar)
            print(f"{goal.name}, the plain loop: {rows['peer']}", flush=True)
            record(asked.out, goals)
    print(table({"machine": describe(), "goals": goals}))


if __name__ == "__main__":
    main()
