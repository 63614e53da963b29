"""`deepen`: equal logits, in which mode and how exactly; what learns from there; what is refused, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import residua
from residua._base.errors import InputError
from residua.families.network import Classifier
from residua.verification.peers import drawn

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(3))
LABELS = torch.tensor([0, 1, 2, 3])
SMALL = {"depths": (2, 2, 2), "widths": (8, 16, 32), "stem_width": 8}
BOTTLENECK = SMALL | {"unit": "bottleneck", "expansion": 4, "shortcut": "projection"}

# The name, the fields, and whether logits are equal in training mode too.
RESIDUAL: dict[str, tuple[str, dict[str, Any], bool]] = {
    "original": ("cifar_resnet14", SMALL, True),
    "option B": ("cifar_resnet14", SMALL | {"shortcut": "projection"}, True),
    "option C": ("cifar_resnet14", SMALL | {"shortcut": "projection_all"}, False),
    "bottleneck": ("cifar_resnet14", BOTTLENECK, True),
    "ResNeXt": ("cifar_resnet14", BOTTLENECK | {"cardinality": 4, "base_width": 32}, True),
    "squeeze-and-excitation": ("cifar_seresnet14", SMALL | {"se_ratio": 2}, True),
    "pre-activated": ("cifar_resnet14_v2", SMALL, True),
    "wide": ("cifar_wrn16_2", {"depths": (2, 2, 2)}, True),
    "biases": ("cifar_resnet14_keras", SMALL, True),
    "BN after addition": ("cifar_resnet14", SMALL | {"activation": "bn_after_add"}, False),
    "ReLU-only": ("cifar_resnet14", SMALL | {"activation": "relu_only_pre"}, True),
    "TF-slim": ("resnet50_v2_slim", {"depths": (2, 2, 2, 2), "widths": (8, 8, 16, 16), "stem_width": 8}, True),
    "constant gate": ("cifar_resnet14", SMALL | {"gate": "constant", "branch_scale": 0.5}, True),
}
PLAIN: dict[str, tuple[str, dict[str, Any], bool]] = {
    "plain": ("cifar_plain14", SMALL, False),
    "plain, BN after addition": ("cifar_plain14", SMALL | {"activation": "bn_after_add"}, False),
    "plain, ReLU before addition": ("cifar_plain14", SMALL | {"activation": "relu_before_add"}, False),
    "plain bottleneck": ("cifar_plain14", BOTTLENECK | {"shortcut": "none", "expansion": 1}, False),
    "VGG": ("vgg11", {"widths": (8, 8, 16, 16, 16), "grid": 1, "hidden": 16, "dropout": 0.0}, True),
    "VGG with BN": ("vgg11_bn", {"widths": (8, 8, 16, 16, 16), "grid": 1, "hidden": 16, "dropout": 0.0}, False),
}


def _network(name: str, edits: dict[str, Any]) -> Classifier:
    # Seeded: in a gate of four hidden channels all may be dead, and then nothing moves.
    torch.manual_seed(0)
    network = residua.create_model(name, **edits)
    drawn(network, IMAGES)
    return network


@pytest.mark.parametrize("case", [*RESIDUAL, *PLAIN])
@torch.no_grad()
def test_a_deeper_network_can_copy_the_shallower(case: str) -> None:
    name, edits, in_training = (RESIDUAL | PLAIN)[case]
    network = _network(name, edits).eval()
    depths = tuple(depth + stage for stage, depth in enumerate(network.spec.depths, 1))
    deep = residua.deepen(network, depths)
    assert deep.spec == network.spec.edit(depths=depths)
    assert sum(p.numel() for p in deep.parameters()) > sum(p.numel() for p in network.parameters())
    assert not deep.training
    logits = network(IMAGES)
    torch.testing.assert_close(deep(IMAGES), logits, rtol=1e-4, atol=1e-4 * float(logits.abs().max()))
    if in_training:
        assert torch.equal(deep(IMAGES), logits)
    gap = (deep.train()(IMAGES) - network.train()(IMAGES)).abs().max() / logits.abs().max()
    assert (gap == 0) if in_training else (gap > 1e-3)


@pytest.mark.parametrize("case", [*RESIDUAL, *PLAIN])
def test_training_goes_on_in_the_new_units(case: str) -> None:
    """Every convolution of the new units moves within a few steps: none is stuck at the identity."""
    name, edits, _ = (RESIDUAL | PLAIN)[case]
    network = _network(name, edits)
    deep = residua.deepen(network.train(), tuple(depth + 1 for depth in network.spec.depths))
    before = {key: value.clone() for key, value in deep.named_parameters()}
    optimizer = torch.optim.SGD(deep.parameters(), lr=0.05)
    for _ in range(6):
        optimizer.zero_grad()
        F.cross_entropy(deep(IMAGES), LABELS).backward()
        optimizer.step()
    kernels = [f"{key}.weight" for key, module in deep.named_modules() if isinstance(module, nn.Conv2d)]
    assert [key for key in kernels if torch.equal(before[key], deep.get_parameter(key))] == []


@pytest.mark.parametrize(
    ("name", "edits", "why"),
    [
        ("densenet121", {}, "read by all later layers"),
        ("cifar_highway19", {}, "closed entirely passes no gradient"),
        ("googlenet", {}, "its modules change the channels"),
        ("cifar_plain14", SMALL | {"activation": "full_pre"}, "cuts negative values"),
        ("cifar_plain14", SMALL | {"se_ratio": 4}, "a factor below 1"),
        ("cifar_plain14", BOTTLENECK | {"shortcut": "none"}, "8 inner channels cannot carry the 32 of its input"),
        ("cifar_resnet14", SMALL | {"gate": "exclusive"}, "whole only where the gate is closed"),
        ("cifar_resnet14", SMALL | {"gate": "constant", "shortcut_scale": 0.5}, "scaled by 0.5"),
        ("cifar_resnet14", SMALL | {"activation": "relu_before_add"}, "would never learn"),
        ("cifar_resnet14", SMALL | {"sharing": "units"}, "the weights of the others"),
        ("cifar_resnet14_v2", SMALL | {"shortcut": "projection_all"}, "lost its negative values"),
        ("resnet50_v2_slim", {"depths": (1, 2, 2, 2)}, "stage 1 has one unit"),
    ],
)
def test_what_cannot_be_deepened_is_refused_with_the_reason(name: str, edits: dict[str, Any], why: str) -> None:
    with torch.device("meta"):
        network = residua.create_model(name, **edits)
    with pytest.raises(InputError, match=why):
        residua.deepen(network, tuple(depth + 1 for depth in getattr(network.spec, "depths", (1,))))


@pytest.mark.parametrize(
    ("depths", "words"),
    [
        (
            (2, 2, 2),
            "depths=(2, 2, 2) to deepen cifar_resnet14, which are its own. Wanted: one more in some stage. For ",
        ),
        ((2, 2, 2), "For example depths=(2, 2, 3)"),
        ([1, 2, 3], "whose stages have (2, 2, 2). Wanted: 3 depths, none of them smaller"),
        ((3, 3), "depths=(3, 3) to deepen cifar_resnet14, whose stages have (2, 2, 2)"),
        ((3, 3, 3, 3), "3 depths, none of them smaller"),
        (3, "3 depths"),
        ("abc", "depths='abc'. Wanted: a list of whole numbers"),
        ((2, 2, 2.5), "depths[2]=2.5"),
        ((), "depths of 0 entries. Wanted: 1 to 1,000 entries. Its stages have (2, 2, 2)"),
    ],
)
def test_depths_have_to_grow(depths: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        residua.deepen(residua.create_model("cifar_resnet14", **SMALL), depths)
    assert words in str(caught.value)


@pytest.mark.parametrize("depths", [(4, 1), (3, 2), (2,)])
def test_a_list_of_units_is_refused_by_its_name(depths: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = residua.create_model("resnet50_v2_slim", units=[[(32, 8, 1)] * 2 + [(32, 8, 3)], [(48, 12, 1)]])
    with pytest.raises(InputError, match=r"whose units=… lists each unit by itself"):
        residua.deepen(network, depths)


def test_anything_else_is_refused() -> None:
    with pytest.raises(InputError, match="a Linear to deepen"):
        residua.deepen(nn.Linear(2, 2), (1, 2))  # type: ignore[call-overload]


@pytest.mark.slow
def test_a_run_is_deepened_saved_and_trained_on(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 1, "max_steps": 3, "seed": 0, "min_steps": 0, "device": "cpu"}
    run = residua.train("digits", model="cifar_resnet8", out=tmp_path / "a", **options)
    deep = residua.deepen(run, (2, 2, 2))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(deep.model(images), run.model(images))
    deep.save_pretrained(tmp_path / "deep")
    again = residua.load(tmp_path / "deep")
    assert again.spec.name == "cifar_resnet8"
    assert again.spec.depths == (2, 2, 2)
    with torch.no_grad():
        assert torch.equal(again.model(images), run.model(images))
    onward = residua.train("digits", model=again.spec, weights=tmp_path / "deep", out=tmp_path / "b", **options)
    assert onward.spec.depths == (2, 2, 2)
    assert not torch.equal(onward.model.get_parameter("layer1.1.bn2.weight"), torch.zeros(onward.spec.widths[0]))
