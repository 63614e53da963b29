"""Grad-CAM of a batch against the forward and backward pass of the same batch, and Captum's Grad-CAM, in turns.

    python benchmarks/explanation.py [--model resnet18] [--size 224] [--batch 8] [--rounds 7] [--threads 1]
        [--out benchmarks/results/explanation.json]

Forward and backward: the sum of the predicted classes' logits, gradients of all parameters, evaluation mode, fp32. Each
round runs all three once, in an order that rotates; ratios are of one round. Needs Captum.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from captum.attr import LayerGradCam

from machine import describe, spread, write_result
from residua.explanation.activation_maps import grad_cam
from residua.explanation.layers import target_layer
from residua.families.build import build
from residua.families.network import Classifier
from residua.specs.catalog import get_spec

LIMIT = 2.5


def contestants(network: Classifier, images: torch.Tensor) -> dict[str, Callable[[], object]]:
    """Return the functions that are timed, by name."""
    height, width = images.shape[-2:]
    layer = target_layer(network.spec, height, width).name
    module = network.get_submodule(layer)
    with torch.no_grad():
        targets = network(images).argmax(1)

    def forward_backward() -> None:
        network.zero_grad()
        network(images).gather(1, targets[:, None]).sum().backward()

    return {
        "grad_cam": lambda: grad_cam(network, images, targets),
        "forward_backward": forward_backward,
        "captum": lambda: LayerGradCam(network, module).attribute(images, targets, relu_attributions=True),
    }


def measure(calls: dict[str, Callable[[], object]], rounds: int) -> list[dict[str, float]]:
    """Return the seconds of each, one row per round, after one round to warm up."""
    names, rows = list(calls), []
    for number in range(rounds + 1):
        row = {}
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            calls[name]()
            row[name] = time.perf_counter() - start
        rows.append(row)
    return rows[1:]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results/explanation.json")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    network = build(get_spec(given.model)).eval()
    images = torch.randn(given.batch, network.spec.in_channels, given.size, given.size)
    rows = measure(contestants(network, images), given.rounds)
    ratios = {
        f"grad_cam / {peer}": spread([row["grad_cam"] / row[peer] for row in rows])
        for peer in ("forward_backward", "captum")
    }
    result: dict[str, Any] = {
        "what": "seconds of Grad-CAM of a batch, beside its forward and backward pass and Captum's Grad-CAM",
        "model": given.model,
        "input": list(images.shape),
        "rounds": given.rounds,
        "seconds": {name: spread([row[name] for row in rows]) for name in rows[0]},
        "ratios": ratios,
        "wanted": {"grad_cam / forward_backward": LIMIT},
        "peer": f"captum {metadata.version('captum')}",
        "machine": describe(),
    }
    write_result(given.out, result)
    for name, row in (result["seconds"] | ratios).items():
        print(f"{name}: {row['median']:.3f} ({row['low']:.3f} to {row['high']:.3f})")


if __name__ == "__main__":
    main()
