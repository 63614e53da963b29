"""Receptive fields against published ones, and against gradients, which know nothing of the arithmetic."""

from __future__ import annotations

import pytest
import torch

from residua.anatomy import inspect
from residua.families.build import build
from residua.specs.catalog import get_spec

# Araujo 2019, "Computing Receptive Fields of Convolutional Neural Networks" (distill.pub), table of networks:
# AlexNet v2 195, VGG-16 212, ResNet-50 483, 101 1027, 152 1507 (stride in the last unit, as slim's).
PUBLISHED = {"alexnet_2012": 195, "vgg16": 212, "resnet50_v2_slim": 483, "resnet101_v2_slim": 1027}
PUBLISHED |= {"resnet152_v2_slim": 1507}


@pytest.mark.parametrize(("name", "field"), PUBLISHED.items())
def test_published_receptive_fields(name: str, field: int) -> None:
    layers = [layer for layer in inspect(name).layers if layer.receptive_field and layer.stride]
    assert layers[-1].receptive_field == (field, field)
    assert layers[-1].stride == (32, 32)


def test_stride_site_changes_the_field() -> None:
    # In the 3×3 (v1.5) the stride comes a convolution later than in the 1×1.
    last = {name: inspect(name).stages[-2].receptive_field for name in ("resnet50", "resnet50_v1")}
    assert last == {"resnet50": (427, 427), "resnet50_v1": (483, 483)}


CASES = {
    "cifar_resnet20": {},
    "cifar_plain20": {},
    "cifar_resnet20_v2": {},
    "cifar_resnet11_v2_keras": {},
    "cifar_resnet11_v2_bottleneck": {"stride_site": "last_3x3", "padding": "same", "shortcut": "max_pool"},
    "cifar_wrn10_1": {"padding": "same"},
}


@pytest.mark.parametrize(("name", "edits"), CASES.items())
@pytest.mark.parametrize("size", [160, 157])
def test_gradients_reach_just_as_far(name: str, edits: dict[str, object], size: int) -> None:
    """With weights above 0 nothing cancels: a pixel is in the field if and only if its gradient is not 0."""
    spec = get_spec(name, **edits)
    torch.manual_seed(0)
    network = build(spec).eval().double()
    for weight in network.parameters():
        weight.data = weight.data.abs().clamp(min=0.05) / weight[0].numel()
    image = torch.rand(1, 3, size, size, dtype=torch.float64, requires_grad=True)
    features = network.forward_features(image)
    row, column = features.shape[2] // 2, features.shape[3] // 2
    (gradient,) = torch.autograd.grad(features[0, :, row, column].sum(), image)
    reached = gradient[0].sum(0) != 0
    rows = reached.any(1).nonzero().flatten()
    columns = reached.any(0).nonzero().flatten()
    seen = [layer for layer in inspect(spec, (3, size, size)).layers if layer.stride][-1]
    assert seen.receptive_field is not None
    assert seen.receptive_field[0] < size, "the image has to be larger for this test"
    assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == seen.receptive_field


def test_a_global_gate_sees_the_whole_image() -> None:
    found = {layer.name: layer for layer in inspect("seresnet50").layers}
    assert found["layer1.0.bn3"].receptive_field == (19, 19)
    after = found["layer1.0.relu (3)"]
    assert after.receptive_field is None
    assert after.stride == (4, 4)
