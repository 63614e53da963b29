"""The lecture's rows 95 to 99, from ResNet on, of the list of what the articles name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from evaluation.runs import colour_folder, colour_run
from evaluation.test_ensemble_runs import WRONG, confused
from residua.anatomy import cost, inspect
from residua.cli.app import main
from residua.evaluation.evaluate import evaluate
from residua.families.build import build
from residua.layers.gate import SqueezeExcitation
from residua.specs.catalog import counts, get_spec
from residua.studies.catalog import get_study
from residua.studies.study import StudyOptions
from studies.measures.test_surgery import network


def test_row_095_a_bottleneck_costs_less_and_has_a_layer_more() -> None:
    """18·C²·H·W against 17·C²·H·W on four times the channels, and three ReLUs for two.

    The lecture adds that the field of view does not shrink. That of one unit does: it has one 3×3, not two.
    """
    found = {}
    for name in ("resnet34", "resnet50_v1"):
        before, unit = (
            [layer for layer in inspect(name).layers if layer.part == part] for part in ("layer1.0", "layer1.1")
        )
        convs = [layer for layer in unit if layer.operation == "conv2d"]
        relus = [layer for layer in unit if layer.operation == "relu"]
        (entering, _), (leaving, _) = (layers[-1].receptive_field or (0, 0) for layers in (before, unit))
        # In pixels of the image, four for each of the unit's.
        assert leaving - entering == {"resnet34": 4 * (5 - 1), "resnet50_v1": 4 * (3 - 1)}[name]
        found[name] = (sum(layer.macs for layer in convs), len(relus), convs[-1].output[0])
    work = 64**2 * 56**2
    assert found == {"resnet34": (18 * work, 2, 64), "resnet50_v1": (17 * work, 3, 256)}
    basic, bottleneck = (cost(arm.spec) for arm in get_study("bottleneck").grid(StudyOptions(quick=False)))
    assert bottleneck.params == pytest.approx(basic.params, rel=0.01)


@torch.no_grad()
def test_row_096_pre_activated_units_can_be_the_identity() -> None:
    """A zero branch gives back every x before the activation moved, and only those above 0 with ReLU at the end."""
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for order, wanted in (("post", x.relu()), ("full_pre", x)):
        unit = network(activation=order, stem_norm=order == "full_pre").layer1[1]
        for conv in (unit.conv1, unit.conv2):
            conv.weight.zero_()
        if order == "post":
            unit.bn2.running_mean.zero_()
            unit.bn2.bias.zero_()
        assert torch.equal(unit(x.clone()), wanted)
    assert get_spec("resnet50_v2").activation == "full_pre"
    arms = get_study("activations").grid(StudyOptions(quick=False))
    assert [arm.spec.activation for arm in arms] == [
        *("post", "bn_after_add", "relu_before_add", "relu_only_pre", "full_pre"),
    ]
    assert {arm.spec.depth for arm in arms} == {110}


def test_row_097_ensembles_of_unlike_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Probabilities are averaged, with weights from the validation images; names in the table, 30 of 32 right."""
    data = tmp_path / "data"
    for part in ("train", "val", "test"):
        colour_folder(data / part, WRONG)
    one, other = colour_run(tmp_path / "one", data=data), confused(tmp_path / "other", data=data)
    found = evaluate(one, members=[other], member_weights="val")
    assert found.ensemble is not None
    weights = [member.weight for member in found.ensemble.members]
    assert sum(weights) == pytest.approx(1)
    assert weights[0] > 0.5
    assert (found.top1, [member.top1 for member in found.ensemble.members]) == (30 / 32, [30 / 32, 21 / 32])
    assert main(["evaluate", str(one), "--with", str(other), "--member-weights", "val"]) == 0
    printed = capsys.readouterr().out
    assert "weights: val" in printed
    assert "against the best member, one: +0.00 points" in printed
    for name in ("inception_v3", "inception_v4", "inception_resnet_v2", "resnet152", "wide_resnet50_2"):
        assert counts(name) is not None


@torch.no_grad()
def test_row_098_squeeze_and_excitation() -> None:
    """Each map is scaled by one number between 0 and 1, computed from the means of all maps; 2,530,992 weights more."""
    torch.manual_seed(0)
    layer, x = SqueezeExcitation(32, 16).double(), torch.randn(2, 32, 5, 5, dtype=torch.float64)
    hidden = (x.mean((2, 3)) @ layer.fc1.weight.flatten(1).T + layer.fc1.bias).relu()
    scale = (hidden @ layer.fc2.weight.flatten(1).T + layer.fc2.bias).sigmoid()
    torch.testing.assert_close(layer(x), x * scale[:, :, None, None])
    assert layer.fc1.out_channels == 32 // 16
    with_gates, without = counts("seresnet50"), counts("resnet50")
    assert with_gates is not None
    assert without is not None
    channels = [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    gates = sum(2 * c * (c // 16) + c + c // 16 for c in channels)
    assert with_gates[0] - without[0] == gates == 2_530_992
    with torch.device("meta"):
        units = [unit for stage in build(get_spec("seresnet50")).stages() for unit in stage]
    assert all(isinstance(unit.se, SqueezeExcitation) for unit in units)


@torch.no_grad()
def test_row_099_densely_connected_layers() -> None:
    """A block's output holds its input and each layer's maps unchanged; a layer reads all that stand before it."""
    torch.manual_seed(0)
    dense = build(get_spec("cifar_densenet_bc22_12")).double().eval()
    points = dense.forward_intermediates(torch.randn(1, 3, 16, 16, dtype=torch.float64))
    block, entering = points["denseblock1"], points["stem"].shape[1]
    layers = list(dense.features.denseblock1)
    assert block.shape[1] == entering + 12 * len(layers)
    torch.testing.assert_close(block[:, :entering], points["stem"])
    for number, layer in enumerate(layers):
        read = entering + 12 * number
        torch.testing.assert_close(block[:, read : read + 12], layer(block[:, :read]))
    with torch.device("meta"):
        published = build(get_spec("densenet121"))
    blocks = [sum(1 for _ in getattr(published.features, f"denseblock{n}").children()) for n in (1, 2, 3, 4)]
    assert blocks == [6, 12, 24, 16]
    convolutions = sum(isinstance(module, nn.Conv2d) for module in published.modules())
    assert convolutions + 1 == 121
