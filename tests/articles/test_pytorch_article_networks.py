"""The PyTorch article's own networks: one test a row of the list of what the articles name, under its number."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import residua
from articles import tutorial
from residua._base.errors import InputError
from residua.cli.app import main

COUNTS = {18: 11_258_634, 34: 21_370_506}


def _ours(depth: int, state: tutorial.State) -> nn.Module:
    network = residua.create_model(f"resnet{depth}_plainstem").double()
    network.load_state_dict({name: tensor.clone() for name, tensor in tutorial.under_our_names(state).items()})
    return network


def _equal_in_both_modes(depth: int) -> None:
    state = tutorial.drawn(depth)
    network = _ours(depth, state)
    assert sum(parameter.numel() for parameter in network.parameters()) == COUNTS[depth]
    images = torch.randn(3, 3, 64, 96, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = torch.tensor([1, 7, 3])
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(images), tutorial.forward(state, images, training=False))
    learnt = [name for name, _ in network.named_parameters()]
    ours = dict(zip(tutorial.under_our_names(state), state, strict=True))
    for name in learnt:
        state[ours[name]].requires_grad_()
    theirs = tutorial.forward(state, images, training=True)
    F.cross_entropy(theirs, labels).backward()
    logits = network.train()(images)
    F.cross_entropy(logits, labels).backward()
    torch.testing.assert_close(logits, theirs)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, state[ours[name]].grad)
    statistics = {name: tensor for name, tensor in network.named_buffers() if "running" in name}
    assert len(statistics) == 4 * sum(tutorial.UNITS[depth])
    for name, tensor in statistics.items():
        torch.testing.assert_close(tensor, state[ours[name]])


def test_row_47_the_articles_resnet18() -> None:
    """Biased convolutions, bare projections, no BN in the stem; equal in training too."""
    _equal_in_both_modes(18)


def test_row_48_the_articles_resnet34() -> None:
    _equal_in_both_modes(34)


def test_row_49_a_stem_without_batch_normalisation() -> None:
    """As a field: no norm of the stem is left over, and ReLU and pool stay."""
    network = residua.create_model("resnet18", stem="plain")
    assert [name for name in network.state_dict() if not name.startswith(("layer", "fc."))] == ["conv1.weight"]
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    stem = network.forward_intermediates(images)["stem"]
    weight = network.get_parameter("conv1.weight")
    torch.testing.assert_close(stem, F.max_pool2d(F.relu(F.conv2d(images, weight, None, 2, 3)), 3, 2, 1))
    with pytest.raises(InputError, match=r"stem='plain' with activation='full_pre'.*stem_norm=False"):
        residua.create_model("resnet18_v2", stem="plain")


@pytest.mark.parametrize("depth", [18, 34])
def test_row_51_its_own_state_dict(depth: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Positional names, matched by structure once that is confirmed; the map is shown."""
    state = tutorial.drawn(depth)
    file, out = tmp_path / "article.pth", tmp_path / "run"
    torch.save(state, file)
    words = ["convert", str(file), "--model", f"resnet{depth}_plainstem", "--out", str(out)]
    assert main(words) == 2
    assert "use --by-structure, and check the map" in capsys.readouterr().err
    assert not out.exists()
    assert main([*words, "--by-structure"]) == 0
    printed = capsys.readouterr()
    assert "1.0.conv1 -> layer1.0.conv1\n" in printed.err
    assert "2.0.conv3 -> layer2.0.downsample.0\n" in printed.err
    assert "7 -> fc\n" in printed.err
    run = residua.load(out)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(run.model.double()(images), tutorial.forward(_single(state), images, False))


def _single(state: tutorial.State) -> tutorial.State:
    """The tensors as a run keeps them."""
    return {name: tensor.float().double() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def test_the_articles_weights_start_as_torchs() -> None:
    """Uniform within 1/√fan-in, biases too, as `nn.Conv2d` and `nn.Linear` start by themselves."""
    torch.manual_seed(0)
    network = residua.create_model("resnet18_plainstem")
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 64, 7), nn.Conv2d(64, 64, 3)]
    torch.testing.assert_close(network.get_parameter("conv1.weight"), layers[0].weight)
    torch.testing.assert_close(network.get_parameter("layer1.0.conv1.bias"), layers[1].bias)
    bound = 512**-0.5
    assert 0.99 * bound < network.get_parameter("fc.weight").abs().max().item() <= bound
