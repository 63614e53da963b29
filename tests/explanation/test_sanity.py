"""The sanity check of randomised weights (Adebayo et al. 2018), on a network that has learnt something."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor

from residua._base.errors import InputError
from residua.explanation.attribution import Attribution, settled
from residua.explanation.sanity import rank_correlation, sanity, structural_similarity
from residua.families.network import Classifier

Learnt = tuple[Classifier, Tensor, Tensor]


def edges(model: Classifier, images: Tensor, targets: Tensor | None = None, /) -> Attribution:
    """Sobel's edge detector: it looks like an explanation, and asks the network nothing."""
    across = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]).expand(1, 3, 3, 3)
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    strength = F.conv2d(padded, across).abs() + F.conv2d(padded, across.mT.contiguous()).abs()
    logits = model(images).detach()
    return Attribution(strength[:, 0], strength, settled(targets, logits), logits)


def test_the_network_has_learnt(learnt: Learnt) -> None:
    network, images, labels = learnt
    assert (network(images).argmax(1) == labels).float().mean() > 0.7


# Occlusion would take a hundred passes a step.
@pytest.mark.parametrize("method", ["gradcam", "integrated-gradients", "smoothgrad"])
def test_methods_that_read_the_weights_pass(learnt: Learnt, method: str) -> None:
    network, images, _ = learnt
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    found = sanity(network, images[:12], method)
    assert found.passed, found
    assert found.method == method
    assert [step.layer for step in found.steps] == ["logits", "layer3.0", "layer2.0", "layer1.0", "stem"]
    assert found.steps[-1].rank_correlation < 0.5
    assert found.steps[-1].similarity < 0.9
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_grad_cam_plus_plus_stands_between(learnt: Learnt) -> None:
    """Its weights are all positive, so that its map shows where features are, more than what they mean."""
    network, images, _ = learnt
    found = sanity(network, images[:12], "gradcam++")
    assert found.steps[-1].rank_correlation < 0.8
    assert found.steps[-1].similarity < 0.7
    assert sanity(network, images[:12], "gradcam++", limit=0.8).passed


def test_an_edge_detector_fails(learnt: Learnt) -> None:
    network, images, _ = learnt
    found = sanity(network, images[:12], edges)
    assert not found.passed
    assert "+1.00" in found.reason
    assert found.method == "edges"
    assert [step.rank_correlation for step in found.steps] == pytest.approx([1] * 5)
    assert [step.similarity for step in found.steps] == pytest.approx([1] * 5)


@pytest.mark.parametrize(
    ("shown", "correlation", "constant", "said"),
    [
        (lambda maps, forgot: torch.ones_like(maps), 0, 4, "4 of 4 maps of the trained network are constant"),
        (lambda maps, forgot: maps * torch.tensor([1.0, 1, 1, 0])[:, None, None], 1, 1, "1 of 4 maps"),
        (lambda maps, forgot: maps.amax() - maps if forgot else maps, -1, 0, "-1.00"),
        (lambda maps, forgot: torch.zeros_like(maps) if forgot else maps, 0, 4, ""),
    ],
    ids=["constant", "one constant", "inverted", "constant once forgotten"],
)
def test_degenerate_maps(learnt: Learnt, shown: Any, correlation: float, constant: int, said: str) -> None:
    network, images, _ = learnt

    def method(model: Classifier, images: Tensor, targets: Tensor | None = None, /) -> Attribution:
        found = edges(model, images, targets)
        return replace(found, maps=shown(found.maps, model is not network))

    found = sanity(network, images[:4], method)
    assert found.passed == (not said)
    assert said in found.reason
    assert found.steps[-1].rank_correlation == pytest.approx(correlation, abs=1e-4)
    assert found.steps[-1].constant == constant


def test_another_seed_forgets_otherwise_and_the_same_alike(learnt: Learnt) -> None:
    network, images, _ = learnt
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = sanity(network, images[:4], "gradcam")
    assert torch.equal(torch.get_rng_state(), state)
    assert first == sanity(network, images[:4], "gradcam")
    assert first != sanity(network, images[:4], "gradcam", seed=1)


def test_an_unknown_method_is_refused(learnt: Learnt) -> None:
    with pytest.raises(InputError, match="Did you mean gradcam"):
        sanity(learnt[0], learnt[1], "grad-cam")


def test_rank_correlation_is_spearmans() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        a, b = random.integers(0, 6, (2, 5, 7)).astype(np.float64)
        assert rank_correlation(a, b) == pytest.approx(float(spearmanr(a.ravel(), b.ravel()).statistic), abs=1e-12)
    assert rank_correlation(np.zeros((3, 3)), random.random((3, 3))) == 0


def test_similarity_is_wangs() -> None:
    random = np.random.default_rng(0)
    a, b = random.random((2, 12, 9))
    values = []
    for top in range(12 - 6):
        for left in range(9 - 6):
            x, y = (array[top : top + 7, left : left + 7].ravel() for array in (a, b))
            (vx, vxy), (_, vy) = np.cov(x, y)
            mx, my = x.mean(), y.mean()
            value = (2 * mx * my + 1e-4) * (2 * vxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
            values.append(value)
    assert structural_similarity(a, b) == pytest.approx(float(np.mean(values)), rel=1e-9)
    assert structural_similarity(a, a) == pytest.approx(1)
