"""Class activation maps: the derivation of Grad-CAM++, the layer that is chosen, the state that is left."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from laws.representatives import image_for, network_for
from residua._base.errors import InputError
from residua.explanation.activation_maps import grad_cam, grad_cam_plus_plus
from residua.explanation.input_gradients import integrated_gradients, smooth_grad
from residua.explanation.layers import target_layer
from residua.explanation.methods import METHODS
from residua.families.build import build
from residua.families.network import Classifier
from residua.specs.catalog import get_spec
from residua.specs.schema import Spec

CHOSEN = {"resnet50": "layer4.2", "resnet18_v2": "features", "vgg16": "conv5_3", "alexnet": "conv5", "nin": "cccp8"}
CHOSEN |= {"cifar_densenet40_12": "features", "googlenet_bn": "inception5b", "cifar_resnet20": "layer3.2"}
CHOSEN |= {"resnet50_v2_slim": "resnet_v2_50/postnorm"}


def tiny(**edits: object) -> Spec:
    fields = {"widths": (4, 6, 8), "stem_width": 4, "num_classes": 5, "input_size": 16}
    return get_spec("cifar_resnet8", **(fields | edits))


@pytest.fixture
def network() -> Classifier:
    torch.manual_seed(0)
    return build(tiny()).double()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_grad_cam_plus_plus_is_its_derivation(network: Classifier, images: Tensor) -> None:
    """Equations 10 to 12 of Chattopadhay et al. 2018, with autograd's three derivatives of exp(y)."""
    network.eval()
    maps = network.forward_features(images[:1]).detach().requires_grad_()
    score = network.forward_head(maps)[0, 2].exp()
    (first,) = torch.autograd.grad(score, maps, create_graph=True)
    weights = torch.zeros(maps.shape[1], dtype=torch.float64)
    for place in torch.cartesian_prod(*(torch.arange(size) for size in maps.shape[1:])).tolist():
        channel, row, column = place
        (second,) = torch.autograd.grad(first[0, channel, row, column], maps, create_graph=True)
        here = second[0, channel, row, column]
        (third,) = torch.autograd.grad(here, maps, retain_graph=True)
        share = here / (2 * here + maps[0, channel].sum() * third[0, channel, row, column])
        weights[channel] += (share * first[0, channel, row, column].relu()).detach()
    wanted = (weights[:, None, None] * maps[0].detach()).sum(0) / score.detach()
    found = grad_cam_plus_plus(network, images[:1], torch.tensor([2]))
    assert found.layer == "layer3.0"
    assert torch.allclose(found.values[0, 0], wanted, rtol=1e-10, atol=1e-14)


def test_maps_that_are_not_rectified_leave_no_denominator_zero() -> None:
    torch.manual_seed(0)
    network = build(get_spec("cifar_resnet20_v2", num_classes=5)).double()
    found = grad_cam_plus_plus(network, torch.randn(2, 3, 32, 32, dtype=torch.float64), layer="layer2")
    assert found.layer == "layer2.2"
    assert torch.isfinite(found.values).all()


@pytest.mark.parametrize(
    "name", ["alexnet_2012", "cifar_nin", "cifar_highway19", "cifar_densenet40_12", "cifar_wrn16_2"]
)
def test_every_family(name: str) -> None:
    network, images = network_for(name), image_for(name, 1)
    found = grad_cam(network, images)
    assert found.layer in dict(network.parts())
    assert found.maps.shape == (1, *images.shape[-2:])
    assert torch.isfinite(found.maps).all()
    assert (found.maps >= 0).all()
    assert torch.allclose(found.logits, network(images).detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "layer"), CHOSEN.items())
def test_the_last_convolutional_layer_is_chosen(name: str, layer: str) -> None:
    spec = get_spec(name)
    found = target_layer(spec, spec.input_size, spec.input_size)
    assert found.name == layer
    assert min(found.shape[1:]) > 1


def test_a_map_of_one_pixel_is_not_chosen() -> None:
    assert target_layer(get_spec("resnet18"), 32, 32).name == "layer3.1"
    assert target_layer(get_spec("resnet18"), 33, 33).shape == (512, 2, 2)


def test_a_layer_by_name(network: Classifier, images: Tensor) -> None:
    assert grad_cam(network, images, layer="layer2").layer == "layer2.0"
    assert grad_cam(network, images, layer="stem").values.shape == (3, 1, 16, 16)
    with pytest.raises(InputError, match=r"layer3\.00.*Did you mean layer3\.0"):
        grad_cam(network, images, layer="layer3.00")
    with pytest.raises(InputError, match="whose map is one pixel"):
        target_layer(get_spec("resnet18"), 32, 32, "layer4")


def test_networks_without_maps_are_refused_with_what_works() -> None:
    network = build(get_spec("highway_mlp10", num_classes=5))
    images = torch.randn(1, network.spec.in_channels, network.spec.input_size, network.spec.input_size)
    with pytest.raises(InputError, match="Use integrated-gradients, smoothgrad or occlusion"):
        grad_cam(network, images)
    assert integrated_gradients(network, images, steps=2).maps.shape == (1, *images.shape[-2:])


def test_what_is_said_of_an_image_does_not_depend_on_its_batch(network: Classifier, images: Tensor) -> None:
    for name, method in METHODS.items():
        whole, alone = method(network, images), method(network, images[1:2])
        assert torch.allclose(whole.maps[1:2], alone.maps, rtol=1e-8, atol=1e-12), name
        assert torch.equal(whole.targets, whole.logits.argmax(1))


def test_only_what_stands_behind_the_layer_runs_backwards(network: Classifier, images: Tensor) -> None:
    seen: list[bool] = []
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    handles = [layer.register_forward_hook(lambda *call: seen.append(call[2].requires_grad)) for layer in convolutions]
    grad_cam(network, images)
    assert seen == [False] * len(convolutions), "each runs once, and without a graph"
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_the_network_is_left_as_it_was(network: Classifier, images: Tensor, name: str, fails: bool) -> None:
    network.train()
    network.layer2.eval()
    network.conv1.weight.requires_grad_(False)
    network.fc.weight.grad = torch.ones_like(network.fc.weight)
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    modes = [module.training for module in network.modules()]

    def stumble(*_: object) -> None:
        raise RuntimeError("stumbled")

    handle = network.fc.register_forward_hook(stumble) if fails else None
    if fails:
        with pytest.raises(RuntimeError, match="stumbled"):
            METHODS[name](network, images)
    else:
        with torch.no_grad():
            METHODS[name](network, images)
    assert torch.is_grad_enabled()
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())
    assert [key for key, p in network.named_parameters() if not p.requires_grad] == ["conv1.weight"]
    assert [key for key, p in network.named_parameters() if p.grad is not None] == ["fc.weight"]
    assert (network.fc.weight.grad == 1).all()
    assert not images.requires_grad
    hooks = [hook for module in network.modules() for hook in (*module._forward_hooks, *module._backward_hooks)]
    assert hooks == ([handle.id] if handle else [])


def test_in_inference_mode(network: Classifier) -> None:
    with torch.inference_mode():
        made = torch.randn(1, 3, 16, 16, dtype=torch.float64)
        assert grad_cam(network, made).maps.shape == smooth_grad(network, made, samples=2).maps.shape == (1, 16, 16)


@pytest.mark.parametrize(
    ("targets", "shape", "said"),
    [
        (torch.tensor([0, 5, 1]), (3, 3, 16, 16), "from 0 to 4"),
        (torch.tensor([0, -1, 1]), (3, 3, 16, 16), "from 0 to 4"),
        (torch.tensor([0]), (3, 3, 16, 16), "one per image"),
        (torch.tensor([0.0, 1, 2]), (3, 3, 16, 16), "int64"),
        (None, (3, 16, 16), "a batch"),
        (None, (0, 3, 16, 16), "a batch"),
    ],
)
def test_what_cannot_be_explained(
    network: Classifier, targets: Tensor | None, shape: tuple[int, ...], said: str
) -> None:
    for method in METHODS.values():
        with pytest.raises(InputError, match=said):
            method(network, torch.zeros(shape, dtype=torch.float64), targets)
