"""The speed of one CUDA GPU; benchmarks/gpu.sh calls this. Ends in under 9 minutes.

    python benchmarks/gpu.py FOLDER [--device cuda] [--out benchmarks/results/gpu.json]

FOLDER holds CIFAR-10 as JPEG: train/ and test/. Measured: `cifar_resnet20` and `cifar_resnet56` with the recipe `fast`
(seconds per epoch, seconds in all, test accuracy) beside one epoch of the plain loop, and training steps of `resnet50`
at 224 on synthetic images in turns with torchvision's, eager.
"""

from __future__ import annotations

import argparse
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
from machine import describe, write_result
from residua.training.recipe_file import load_recipe
from residua.training.step.optim import build_optimizer

DEADLINE_SECONDS = 500


def wait(device: torch.device) -> None:
    """Wait until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


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


def fast_run(folder: Path, scratch: Path, name: str, device: torch.device) -> dict[str, Any]:
    """Train with the recipe `fast`; return seconds and accuracy."""
    start = time.perf_counter()
    out = scratch / name
    run = residua.train(
        folder, model=name, recipe="fast", weights="none", out=out, device=str(device), val_fraction=0, progress=False
    )
    whole = time.perf_counter() - start
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    return {
        "epochs": len(lines),
        "seconds_an_epoch": statistics.median(
            [later["seconds"] - line["seconds"] for line, later in itertools.pairwise(lines)] or [lines[0]["seconds"]]
        ),
        "seconds_in_all": whole,
        "test_top1": run.metrics["top1"],
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
    return {
        "batch": batch,
        "images_per_second": {
            name: {"median": statistics.median(v), "least": min(v), "greatest": max(v)} for name, v in speeds.items()
        },
        "times_the_peer": {
            name: statistics.median(own / peer for own, peer in zip(speeds["residua"], values, strict=True))
            for name, values in speeds.items()
            if name != "residua"
        },
    }


def main() -> None:
    """Measure what the time allows, the most important first, and write the result after each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=128, help="of resnet50")
    parser.add_argument("--rounds", type=int, default=6)
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
            "cifar_resnet20": lambda: fast_run(given.folder, Path(scratch), "cifar_resnet20", device),
            "cifar_resnet56": lambda: fast_run(given.folder, Path(scratch), "cifar_resnet56", device),
            "resnet50": lambda: resnet50_steps(device, given.batch, given.rounds, 10),
            "plain_resnet20": lambda: {"seconds_an_epoch": plain_epoch(given.folder, device, 3, workers)},
            "plain_resnet56": lambda: {"seconds_an_epoch": plain_epoch(given.folder, device, 9, workers)},
        }
        for name, part in parts.items():
            if time.perf_counter() - begun > DEADLINE_SECONDS:
                result[name] = "not measured: the time was up"
                continue
            result[name] = part()
            result["seconds_of_the_benchmark"] = time.perf_counter() - begun
            write_result(given.out, result)
            print(name, json.dumps(result[name]), flush=True)


if __name__ == "__main__":
    main()
