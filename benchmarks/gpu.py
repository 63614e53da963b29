"""The speed of one CUDA GPU; benchmarks/gpu.sh calls this. Ends in under 9 minutes.

    python benchmarks/gpu.py FOLDER [--device cuda] [--only PART…] [--out benchmarks/results/gpu.json]

FOLDER holds CIFAR-10 as JPEG: train/ and test/. Measured, the most important first, each part as long as time is left:

- `resnet50` at 224 on synthetic images on the device: training steps of ours, eager and compiled, in turns with
  torchvision's eager ones. The bytes that a step moves are counted operation by operation, and divided by the rate at
  which the device copies: the share of the bandwidth limit.
- `resnet152_v2_slim`, batch 32, bf16, forward: eager, and compiled with CUDA graphs.
- `cifar_resnet20` to `cifar_resnet110` with the recipe `fast` (seconds per epoch, seconds in all, test accuracy), the
  first with as many seeds as time is left for, beside the published accuracy of the paper's recipe and beside one epoch
  of the plain loop.

A part for which the time was up, or which this machine cannot do, reads "not measured" and why.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchvision

import peer_loop
import residua
from floor import copy_rate, step_work
from machine import describe, wait, write_result
from residua._base.errors import InputError
from residua.runtime.compiling import compiled
from residua.training.recipe_file import load_recipe
from residua.training.step.optim import build_optimizer

DEADLINE_SECONDS = 440
PAPER_TOP1 = {20: 0.9125, 32: 0.9249, 44: 0.9283, 56: 0.9303, 110: 0.9339}
"""He 2015, table 6: 1 less the error, of the lossless CIFAR-10; of 110 layers the mean of five runs."""


def slim_forward(device: torch.device, batch: int = 32, rounds: int = 30) -> dict[str, Any]:
    """Return milliseconds of a forward pass of `resnet152_v2_slim` in bf16, images on the device."""
    model = residua.create_model("resnet152_v2_slim").to(device, torch.bfloat16).eval()
    model = model.to(memory_format=torch.channels_last)
    size = model.spec.input_size
    images = torch.randn(batch, 3, size, size, device=device, dtype=torch.bfloat16)
    images = images.contiguous(memory_format=torch.channels_last)
    found: dict[str, Any] = {"batch": batch, "side": size, "wanted_milliseconds": 2.5}
    ways = {"eager": model, **({"compiled": compiled(model, mode="reduce-overhead")} if device.type == "cuda" else {})}
    for name, network in ways.items():
        times = []
        with torch.inference_mode():
            for number in range(rounds + 3):
                wait(device)
                start = time.perf_counter()
                network(images)
                wait(device)
                if number >= 3:
                    times.append(1e3 * (time.perf_counter() - start))
        found[name] = {"median": statistics.median(times), "least": min(times), "greatest": max(times)}
    return found


def plain_epoch(folder: Path, device: torch.device, blocks: int, workers: int) -> float:
    """Return the seconds of the second epoch of the plain loop: fp32, NCHW, eager."""
    model = peer_loop.ResNet(blocks=blocks).to(device).train()
    optimizer = peer_loop.sgd(model)
    loader = peer_loop.train_loader(folder / "train", 128, workers)
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        for images, labels in loader:
            peer_loop.step(model, optimizer, images.to(device, non_blocking=True), labels.to(device))
        wait(device)
        seconds = time.perf_counter() - start
    return seconds


def fast_run(folder: Path, scratch: Path, depth: int, device: torch.device, seed: int = 0) -> dict[str, Any]:
    """Train with the recipe `fast`; return seconds and accuracy."""
    start = time.perf_counter()
    name = f"cifar_resnet{depth}"
    out = scratch / f"{name}-{seed}"
    run = residua.train(
        folder, model=name, recipe="fast", weights="none", out=out, device=str(device), val_fraction=0, progress=False,
        seed=seed,
    )  # fmt: skip
    whole = time.perf_counter() - start
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    return {
        "epochs": len(lines),
        "seconds_an_epoch": statistics.median(
            [later["seconds"] - line["seconds"] for line, later in itertools.pairwise(lines)] or [lines[0]["seconds"]]
        ),
        "seconds_in_all": whole,
        "test_top1": run.metrics["top1"],
        "paper_top1_lossless": PAPER_TOP1[depth],
        "images_per_second": statistics.median(line["images_per_second"] for line in lines),
    }


def resnet50_steps(device: torch.device, batch: int, rounds: int, steps: int) -> dict[str, Any]:
    """Train resnet50 on synthetic images in turns: ours as the recipe has it (bf16, channels-last), torchvision's
    eager in fp32 and in the same bf16 and layout."""
    size = 224
    images = torch.randn(batch, 3, size, size, device=device)
    labels = torch.randint(0, 1000, (batch,), device=device)
    last = images.contiguous(memory_format=torch.channels_last)

    def turn(model: torch.nn.Module, pictures: torch.Tensor, bf16: bool) -> Any:
        model = model.to(device).train()
        if pictures is last:
            model = model.to(memory_format=torch.channels_last)
        optimizer = build_optimizer(model, load_recipe("fast", photos=size > 64))

        def run(count: int) -> float:
            wait(device)
            start = time.perf_counter()
            for _ in range(count):
                optimizer.zero_grad(set_to_none=True)
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    logits = model(pictures)
                F.cross_entropy(logits.float(), labels).backward()
                optimizer.step()
            wait(device)
            return (time.perf_counter() - start) / count

        return run

    turns = {
        "residua": turn(residua.create_model("resnet50"), last, bf16=True),
        **({"residua, compiled": turn(_compiled("resnet50", device), last, bf16=True)} if _cuda(device) else {}),
        "torchvision, fp32, NCHW": turn(torchvision.models.resnet50(), images, bf16=False),
        "torchvision, bf16, channels-last": turn(torchvision.models.resnet50(), last, bf16=True),
    }
    times: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name, run in turns.items():
            seconds = run(steps)
            if number:
                times[name].append(seconds)
    speeds = {name: [batch / seconds for seconds in values] for name, values in times.items()}
    moved, rate = step_work("resnet50", batch, 224).bytes, copy_rate(device)
    best = min(statistics.median(values) for name, values in times.items() if name.startswith("residua"))
    return {
        "batch": batch,
        "wanted_images_per_second": 6800,
        "wanted_times_torchvision_bf16": 1.3,
        "bytes_per_step": moved,
        "copied_bytes_per_second": rate,
        # Above 1 where operations are fused, which moves less than each as a kernel of its own.
        "share_of_the_bandwidth_limit": moved / rate / best,
        "images_per_second": {
            name: {"median": statistics.median(v), "least": min(v), "greatest": max(v)} for name, v in speeds.items()
        },
        "times_the_peer": {
            f"{ours} / {name}": statistics.median(own / peer for own, peer in zip(speeds[ours], values, strict=True))
            for ours in speeds
            if ours.startswith("residua")
            for name, values in speeds.items()
            if not name.startswith("residua")
        },
    }


def _cuda(device: torch.device) -> bool:
    return device.type == "cuda"


def _compiled(name: str, device: torch.device) -> Any:
    """Return a network compiled where it lives: its layout is settled first."""
    model = residua.create_model(name).to(device).to(memory_format=torch.channels_last).train()
    return compiled(model)


def main() -> None:
    """Measure what the time allows, the most important first, and write the result after each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=128, help="of resnet50")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--only", nargs="*", default=[], help="names of parts")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/gpu.json")
    given = parser.parse_args()
    begun, device, workers = time.perf_counter(), torch.device(given.device), min(8, os.cpu_count() or 1)
    result: dict[str, Any] = {
        "what": "training on one GPU: seconds an epoch of 50,000 images, seconds in all, test accuracy",
        "peer": "plain PyTorch (benchmarks/peer_loop.py): fp32, NCHW, eager, ImageFolder, DataLoader; torchvision",
        "peer_workers": workers,
        "machine": describe(str(device)),
    }
    with tempfile.TemporaryDirectory() as scratch:
        os.environ.setdefault("RESIDUA_CACHE", f"{scratch}/cache")
        parts = {
            "resnet50": lambda: resnet50_steps(device, given.batch, given.rounds, 10),
            "resnet152_v2_slim": lambda: slim_forward(device),
            **{
                f"cifar_resnet{depth}, seed {seed}": functools.partial(
                    fast_run, given.folder, Path(scratch), depth, device, seed
                )
                for depth, seed in ((20, 0), (56, 0), (32, 0), (44, 0), (110, 0), (20, 1), (20, 2))
            },
            "plain_resnet20": lambda: {"seconds_an_epoch": plain_epoch(given.folder, device, 3, workers)},
            "plain_resnet56": lambda: {"seconds_an_epoch": plain_epoch(given.folder, device, 9, workers)},
        }
        # The plain loop's epoch stands beside ours: it comes before the longer networks.
        order = [*list(parts)[:4], "plain_resnet20", "plain_resnet56", *list(parts)[4:-2]]
        for name in order:
            if given.only and name not in given.only:
                continue
            if time.perf_counter() - begun > DEADLINE_SECONDS:
                result[name] = "not measured: the time was up"
                continue
            try:
                result[name] = parts[name]()
            except (InputError, RuntimeError, OSError) as error:  # such as a compiler that is not there
                result[name] = f"not measured: {str(error).splitlines()[0][:200]}"
            result["seconds_of_the_benchmark"] = time.perf_counter() - begun
            write_result(given.out, result)
            print(name, json.dumps(result[name]), flush=True)


if __name__ == "__main__":
    main()
