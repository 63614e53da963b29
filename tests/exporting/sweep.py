"""Networks with random weights and statistics, exported: what the sweep of the tests and that of the proofs share."""

from __future__ import annotations

import tempfile
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


def random_run(name: str, side: int = SIDE) -> Run:
    """Return a run of a network whose batch normalisation has statistics and factors as training leaves them."""
    spec = get_spec(name)
    if spec.in_channels != 3:
        spec = spec.edit(in_channels=3)  # as runs have it: what decodes images gives three channels
    size = nearest_size(spec, side)
    spec = spec.edit(input_size=size) if spec.input_size != size else spec
    torch.manual_seed(0)
    model = build(spec).eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor, middle in (
                (module.running_mean, 0),
                (module.running_var, 1),
                (module.weight, 1),
                (module.bias, 0),
            ):
                if tensor is not None:
                    tensor.data.uniform_(middle - 0.2, middle + 0.2)
    classes = tuple(f"class_{index}" for index in range(spec.num_classes))
    return Run(model, Bundle(Path(name), spec, classes, PreprocessSpec(size, size)))


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
