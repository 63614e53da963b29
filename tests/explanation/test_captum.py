"""Agreement with Captum on the same networks, in float64: within 1e-5 of the greatest value."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from laws.representatives import image_for, network_for
from residua.explanation.activation_maps import grad_cam
from residua.explanation.input_gradients import draws, integrated_gradients, smooth_grad
from residua.explanation.occlusion import occlusion
from residua.families.network import Classifier

captum = pytest.importorskip("captum.attr")

TOLERANCE = 1e-5
# Each with the module whose output is the map that is chosen, or that is named.
NETWORKS: dict[str, tuple[str | None, Callable[[Classifier], torch.nn.Module]]] = {
    "resnet18": (None, lambda net: net.layer3[-1]),
    "resnet18_v2": ("layer2", lambda net: net.layer2[-1]),
    "vgg11_bn": (None, lambda net: net.features[-2]),
    "densenet121": ("denseblock2", lambda net: net.features.denseblock2),
    "googlenet_bn": ("inception4b", lambda net: net.inception4b),
}


class Case(NamedTuple):
    network: Classifier
    images: Tensor
    targets: Tensor
    layer: str | None
    module: torch.nn.Module


@pytest.fixture(scope="module", params=NETWORKS)
def case(request: pytest.FixtureRequest) -> Case:
    network, images = network_for(request.param), image_for(request.param)
    layer, module = NETWORKS[request.param]
    return Case(network, images, torch.tensor([3, 7]), layer, module(network))


def agree(ours: Tensor, theirs: Tensor) -> None:
    theirs = theirs.detach()
    scale = theirs.abs().max()
    assert scale > 0, "a map of zeros proves nothing"
    assert float((ours - theirs).abs().max() / scale) <= TOLERANCE


def test_grad_cam(case: Case) -> None:
    found = grad_cam(case.network, case.images, case.targets, layer=case.layer)
    theirs = captum.LayerGradCam(case.network, case.module)
    agree(found.values, theirs.attribute(case.images, case.targets))
    rectified = theirs.attribute(case.images, case.targets, relu_attributions=True)
    if rectified.detach().abs().max() > 0:
        size = tuple(case.images.shape[-2:])
        agree(found.maps, captum.LayerAttribution.interpolate(rectified, size, "bilinear")[:, 0])
    agree(found.logits, case.network(case.images))


def test_integrated_gradients(case: Case) -> None:
    baseline = torch.tensor([0.3, -0.2, -1.0], dtype=torch.float64).view(3, 1, 1)
    found = integrated_gradients(case.network, case.images, case.targets, baseline=baseline, steps=4, at_once=6)
    theirs, delta = captum.IntegratedGradients(case.network).attribute(
        case.images, baseline.expand_as(case.images), case.targets, n_steps=4, return_convergence_delta=True
    )
    agree(found.values, theirs)
    assert found.delta is not None
    # Captum keeps the weights of the sum in single precision; a delta is a small difference of large sums.
    assert torch.allclose(found.delta, delta, atol=1e-6 * float(theirs.abs().sum()))


def test_occlusion(case: Case) -> None:
    side = case.images.shape[-1]
    window, stride = side // 2 - 1, side // 3
    found = occlusion(case.network, case.images, case.targets, window=window, stride=stride, baseline=0.25, at_once=5)
    theirs = captum.Occlusion(case.network).attribute(
        case.images, (3, window, window), (3, stride, stride), 0.25, case.targets, perturbations_per_eval=4
    )
    agree(found.values.expand_as(theirs), theirs)


def test_smooth_grad(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def same_noise(images: Tensor, deviation: float, samples: int) -> Tensor:
        drawn = torch.stack(list(draws(images, samples, 5)))
        width = images.amax((1, 2, 3)) - images.amin((1, 2, 3))
        return (images[:, None] + deviation * width.view(-1, 1, 1, 1, 1) * drawn).flatten(0, 1)

    tunnel = captum.NoiseTunnel(captum.Saliency(case.network))
    monkeypatch.setattr(tunnel, "_add_noise_to_input", same_noise)
    found = smooth_grad(case.network, case.images, case.targets, samples=3, noise=0.2, seed=5, at_once=4)
    theirs = tunnel.attribute(case.images, nt_samples=3, stdevs=0.2, target=case.targets, abs=False)
    agree(found.values, theirs)


def test_single_precision() -> None:
    """Float32, where the order of sums matters: the maps and the gradients are still one."""
    network = network_for("cifar_resnet20").float()
    images, targets = image_for("cifar_resnet20").float(), torch.tensor([1, 2])
    theirs = captum.LayerGradCam(network, network.layer3[-1]).attribute(images, targets)
    agree(grad_cam(network, images, targets).values, theirs)
    ours = integrated_gradients(network, images, targets, steps=8).values
    agree(ours, captum.IntegratedGradients(network).attribute(images, target=targets, n_steps=8))


def test_the_map_is_enlarged_as_torch_enlarges() -> None:
    network, images = network_for("cifar_resnet20"), image_for("cifar_resnet20")
    found = grad_cam(network, images)
    wanted = F.interpolate(found.values.clamp(min=0), (32, 32), mode="bilinear", align_corners=False)
    assert torch.equal(found.maps, wanted[:, 0])
