"""What a training step keeps and needs: the prediction beside what autograd and the allocator say."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from anatomy.measured import training_peak
from laws.representatives import REPRESENTATIVES, spec_for
from residua.anatomy import inspect
from residua.families.build import build
from residua.families.network import AuxLogits
from residua.families.sizes import nearest_size
from residua.specs.catalog import get_spec

# (network, edits, batch, side): small enough for any machine; hidden= keeps the old heads from outweighing the rest.
# benchmarks/training_memory.py has the large ones.
STEPS: list[tuple[str, dict[str, Any], int, int]] = [
    ("cifar_resnet20", {}, 32, 32),
    ("resnet18", {}, 4, 96),
    ("resnet18", {}, 2, 64),
    ("resnet50_v2_slim", {}, 2, 96),
    ("cifar_wrn16_4", {}, 8, 32),
    ("cifar_resnet29_v2_bottleneck", {}, 16, 32),
    ("cifar_seresnet20", {}, 16, 32),
    ("cifar_resnet20", {"gate": "exclusive"}, 16, 32),
    ("vgg11", {"hidden": 256}, 4, 64),
    ("vgg16_bn", {"hidden": 256}, 2, 64),
    ("alexnet_2012", {"hidden": 256}, 8, 99),
    ("cifar_densenet40_12", {}, 8, 32),
    ("cifar_densenet40_12", {"recompute": True}, 8, 32),
    ("googlenet", {}, 2, 112),
    ("cifar_highway19", {}, 8, 32),
]


@pytest.mark.parametrize(("name", "edits", "batch", "size"), STEPS, ids=lambda value: str(value))
def test_predicted_peak_is_within_a_tenth_of_the_measured(
    name: str, edits: dict[str, Any], batch: int, size: int
) -> None:
    spec = get_spec(name, **edits)
    predicted = inspect(spec, (spec.in_channels, size, size), batch=batch).training.peak
    assert predicted == pytest.approx(training_peak(spec, batch, size), rel=0.1)


def test_adam_keeps_two_moments() -> None:
    spec = get_spec("cifar_resnet20")
    found = inspect(spec, batch=8, optimizer="adam").training
    assert found.optimizer_state == 2 * found.parameters
    assert found.peak == pytest.approx(training_peak(spec, 8, 32, "adam"), rel=0.1)


@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_kept_is_what_autograd_saves(name: str) -> None:
    """Every tensor that autograd packs, each piece of memory once, weights and image aside: to the byte."""
    spec = spec_for(name)
    size, batch = nearest_size(spec, 32), 2
    torch.manual_seed(0)
    network = build(spec).train()
    layout = torch.channels_last if network.trains_channels_last else torch.contiguous_format
    images = torch.randn(batch, spec.in_channels, size, size).contiguous(memory_format=layout)
    given = [*network.parameters(), *network.buffers(), images]
    known = {tensor.untyped_storage().data_ptr() for tensor in given}
    saved: dict[int, int] = {}
    held = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known and storage.nbytes():
            saved[storage.data_ptr()] = storage.nbytes()
        # A buffer that is freed may leave its address to the next.
        held.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        answer = network(images)
    shape = (spec.in_channels, size, size)
    found = inspect(spec, shape, batch=batch, training=isinstance(answer, AuxLogits))
    assert found.kept_bytes == pytest.approx(sum(saved.values()), rel=1e-3)


def test_frozen_weights_have_no_gradient_and_no_state() -> None:
    network = build(get_spec("resnet18", num_classes=10))
    for name, weight in network.named_parameters():
        weight.requires_grad_(name.startswith("fc"))
    found = inspect(network, (3, 64, 64)).training
    assert found.gradients == found.optimizer_state == 4 * (512 * 10 + 10)
    assert found.kept < inspect("resnet18", (3, 64, 64)).training.kept / 100


def test_recomputation_keeps_less_and_inference_nothing() -> None:
    plain, again = (inspect(get_spec("cifar_densenet_bc100_12", recompute=r), batch=4) for r in (False, True))
    assert again.training.peak < plain.training.peak / 2
    assert (again.params, again.macs) == (plain.params, plain.macs)
    assert plain.inference_peak_bytes < plain.kept_bytes / 10
