"""TF-slim's resnet_v2_50: every end point, by name, shape and value, at its own and at denser strides.

The values were computed by TF-slim itself (tools/slim_reference.py) from weights that both sides draw by variable name.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from residua.families.build import build
from residua.specs.catalog import get_spec

REFERENCE = json.loads((Path(__file__).parents[1] / "reference/slim_resnet_v2_50.json").read_text())
SCOPE = "resnet_v2_50"
LEAVES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
# Given besides TF-slim 1.1.0's: the models repository's version lists `global_pool` and `spatial_squeeze`.
BESIDES = {f"{SCOPE}/pool1", f"{SCOPE}/postnorm", f"{SCOPE}/spatial_squeeze", "global_pool", "logits"}


def _variable(key: str) -> str:
    """The slim variable of one of our tensors."""
    module, leaf = key.rsplit(".", 1)
    plain = {"weight": "weights", "bias": "biases"}
    if module in ("conv1", "fc"):
        return f"{SCOPE}/{'logits' if module == 'fc' else module}/{plain[leaf]}"
    if module == "norm":
        return f"{SCOPE}/postnorm/{LEAVES[leaf]}"
    stage, unit, inner = module.split(".", 2)
    place = f"{SCOPE}/block{stage[-1]}/unit_{int(unit) + 1}/bottleneck_v2"
    if inner == "bn1":
        return f"{place}/preact/{LEAVES[leaf]}"
    if inner.startswith("bn"):
        return f"{place}/conv{int(inner[-1]) - 1}/BatchNorm/{LEAVES[leaf]}"
    return f"{place}/{'shortcut' if inner == 'downsample.0' else inner}/{plain[leaf]}"


def _drawn(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    leaf = name.rsplit("/", 1)[1]
    if leaf == "weights":
        out, into, height, width = shape
        scale = np.sqrt(2 / (height * width * into))
        kernel = (generator.standard_normal((height, width, into, out)) * scale).astype(np.float32)
        return torch.from_numpy(kernel).permute(3, 2, 0, 1)
    low, high = {"gamma": (0.6, 1.4), "moving_variance": (0.5, 2.0)}.get(leaf, (-0.3, 0.3))
    return torch.from_numpy(generator.uniform(low, high, shape).astype(np.float32))


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    wanted = build(get_spec("resnet50_v2_slim")).state_dict()
    return {key: _drawn(_variable(key), tuple(value.shape)) for key, value in wanted.items() if "num_b" not in key}


def _network(weights: dict[str, torch.Tensor], output_stride: int) -> nn.Module:
    network = build(get_spec("resnet50_v2_slim", output_stride=output_stride))
    absent, unexpected = network.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all("num_batches_tracked" in key for key in absent)
    return network.eval()


@pytest.mark.parametrize("case", REFERENCE, ids=lambda case: f"{case['size']}-{case['output_stride']}")
@torch.no_grad()
def test_every_end_point(weights: dict[str, torch.Tensor], case: dict) -> None:
    size = case["size"]
    pixels = np.random.RandomState(size).standard_normal((1, size, size, 3)).astype(np.float32)
    image = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    points = _network(weights, case["output_stride"]).forward_intermediates(image)
    assert [name for name in points if name not in BESIDES] == list(case["points"])
    for name, (shape, (mean, deviation, *picks)) in case["points"].items():
        found = points[name].permute(0, 2, 3, 1) if points[name].dim() == 4 else points[name][:, None, None]
        assert list(found.shape[1:]) == shape, name
        flat = found.double().reshape(-1)
        got = torch.stack([flat[i] for i in (0, len(flat) // 3, len(flat) // 2, len(flat) - 1)])
        scale = flat.abs().max().item()
        assert (got - torch.tensor(picks, dtype=torch.float64)).abs().max().item() <= 1e-5 * scale, name
        assert flat.mean().item() == pytest.approx(mean, abs=1e-5 * scale)
        assert flat.std(correction=0).item() == pytest.approx(deviation, abs=1e-5 * scale)


def test_the_pool_matters(weights: dict[str, torch.Tensor]) -> None:
    """torch's own padding shifts the grid at even sizes: the values above would show it."""
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    ours = _network(weights, 0)
    other = build(get_spec("resnet50_v2_slim", pool_padding="symmetric")).eval()
    other.load_state_dict(ours.state_dict())
    with torch.no_grad():
        assert ((ours(image) - other(image)).abs().max() / ours(image).abs().max()).item() > 1e-3


@pytest.mark.parametrize(("name", "count"), [("101", 143), ("152", 211), ("200", 275)])
def test_deeper_networks_have_slims_count_of_end_points(name: str, count: int) -> None:
    """Counted on TF-slim's graphs."""
    with torch.device("meta"), torch.no_grad():
        network = build(get_spec(f"resnet{name}_v2_slim")).eval()
        points = network.forward_intermediates(torch.empty(1, 3, 64, 64))
    scope = f"resnet_v2_{name}"
    assert len([point for point in points if point.replace(scope, SCOPE) not in BESIDES]) == count
