"""Networks with random weights and statistics, exported: what the sweep of the tests and that of the proofs share."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from residua.exporting.export import GateFailed, export
from residua.families.build import build
from residua.families.sizes import nearest_size
from residua.runtime.graphs.fold import fold_batch_norm
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.weights.bundle.value import Bundle
from residua.weights.run import Run

SIDE = 64
"""Pixels; a network that takes no such images gets the nearest size that it takes."""

FOLDING_ERROR = 1e-6
"""In float64, of the largest logit."""

_STEADY = 1e-5  # of the largest logit; an export may be off by 1e-4


def random_run(name: str, side: int = SIDE) -> Run:
    """Return a run of a network whose batch normalisation has statistics and factors as training leaves them."""
    spec = get_spec(name)
    if spec.in_channels != 3:
        spec = spec.edit(in_channels=3)  # as runs have it: what decodes images gives three channels
    size = nearest_size(spec, side)
    spec = spec.edit(input_size=size) if spec.input_size != size else spec
    torch.manual_seed(0)
    model = build(spec).eval()
    images = _blotches(PreprocessSpec(size, size).size)
    norms = [each for each in model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    for each in norms:
        _vary(each, 0.0, 1.0)
    if not _is_steady(model, images):
        # The sum of 333 units overflows, and gates multiply rounding; with the statistics of images each unit takes
        # its input at the same scale.
        _measure(model, norms, images)
    classes = tuple(f"class_{index}" for index in range(spec.num_classes))
    return Run(model, Bundle(Path(name), spec, classes, PreprocessSpec(size, size)))


def _blotches(size: tuple[int, int]) -> torch.Tensor:
    """Return images (16, 3, H, W) of rectangles, from one to single pixels: they differ at each scale, as photos do."""
    images = []
    for count in (1, 4, 16, max(size)):
        shades = 2 * torch.rand(4, 1, 1, 1) * torch.randn(4, 3, count, count) + torch.randn(4, 3, 1, 1)
        images.append(nn.functional.interpolate(shades, size=size, mode="nearest"))
    return torch.cat(images)


def _is_steady(model: nn.Module, images: torch.Tensor) -> bool:
    """Return whether rounding to float32 leaves the logits as they are: else no export could be held against them."""
    with torch.inference_mode():
        logits = model(images).double()
        exact = copy.deepcopy(model).double()(images.double())
    return bool((logits - exact).abs().max() <= _STEADY * exact.abs().max())


def _measure(model: nn.Module, norms: Sequence[nn.modules.batchnorm._BatchNorm], images: torch.Tensor) -> None:
    momenta = [each.momentum for each in norms]
    for each in norms:
        each.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
    model.eval()
    for each, momentum in zip(norms, momenta, strict=True):
        each.momentum = momentum
        if each.running_mean is not None and each.running_var is not None:
            # A channel that these images leave at zero must not be divided by nearly nothing for others.
            _vary(each, each.running_mean.clone(), each.running_var + 0.1 * each.running_var.mean() + 1e-3)


def _vary(norm: nn.modules.batchnorm._BatchNorm, mean: torch.Tensor | float, variance: torch.Tensor | float) -> None:
    """Give batch normalisation statistics and factors that are off by up to a fifth, as training leaves them."""
    deviation = torch.as_tensor(variance).sqrt()
    with torch.no_grad():
        if norm.running_mean is not None and norm.running_var is not None:
            norm.running_mean.uniform_(-0.2, 0.2).mul_(deviation).add_(mean)
            norm.running_var.uniform_(0.8, 1.2).mul_(variance)
        if norm.affine:
            norm.weight.uniform_(0.8, 1.2)
            norm.bias.uniform_(-0.2, 0.2)


def folded(name: str, side: int = SIDE) -> dict[str, Any]:
    """Fold a network's batch normalisation in float64 and hold it against the network; return JSON values."""
    run = random_run(name, side)
    network, size = run.model.double(), run.preprocess_spec.size
    folding = fold_batch_norm(network, (2, 3, *size))
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.inference_mode():
        wanted, logits = network(images), folding.network(images)
    error = ((logits - wanted).abs().max() / wanted.abs().max()).item()
    return {
        "network": name,
        "format": "folding",
        "side": size[0],
        "answer": "passes" if error <= FOLDING_ERROR else "fails",
        "agreement": (logits.argmax(1) == wanted.argmax(1)).double().mean().item(),
        "error": error,
        "folding": folding.sentence,
    }


def swept(name: str, format_: str, side: int = SIDE) -> dict[str, Any]:
    """Export a network with random weights on golden images; return the outcome as JSON values."""
    run = random_run(name, side)
    with tempfile.TemporaryDirectory() as folder:
        try:
            certificate = export(run, format=format_, out=Path(folder) / "out", golden_only=True).certificate
        except GateFailed as error:
            certificate = error.certificate
    return {
        "network": name,
        "format": format_,
        "side": run.preprocess_spec.height,
        "answer": certificate.verdict.answer,
        "agreement": min(row.agreement for row in certificate.rows),
        "error": max(row.error if row.error is not None else float("inf") for row in certificate.rows),
        "folding": certificate.conversion[0],
    }
