"""Features: what the classifier reads, of every kind of network, and what flows at the other end points."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from laws.representatives import image_for, network_for
from residua._base.errors import InputError
from residua.families.build import build
from residua.families.features import PENULTIMATE, FeatureNetwork, classifier_module, point_names, unit_length
from residua.families.network import Classifier
from residua.specs.catalog import get_spec

# One of each kind of head.
KINDS = ["alexnet", "vgg11_bn", "nin", "cifar_nin", "googlenet", "resnet18", "resnet50_v2_slim", "resnet50_v2_keras"]
KINDS += ["densenet121", "cifar_resnet20_v2", "cifar_highway19", "highway_mlp10"]


def network(name: str = "cifar_resnet8", **edits: object) -> Classifier:
    torch.manual_seed(0)
    return build(get_spec(name, **({"num_classes": 5} | edits))).eval()


def batch(model: Classifier, count: int = 2) -> torch.Tensor:
    size = model.spec.input_size
    return torch.rand(count, model.spec.in_channels, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", KINDS)
def test_the_classifier_of_the_features_gives_the_logits(name: str) -> None:
    model, images = network_for(name), image_for(name)
    with torch.inference_mode():
        expected = model(images)
    logits, features = FeatureNetwork(model).with_logits(images)
    torch.testing.assert_close(logits, expected.float())
    last = model.get_submodule(classifier_module(model.spec))
    assert isinstance(last, nn.Linear | nn.Conv2d)
    if model.spec.family == "nin":  # averages behind the classifier's ReLU
        assert features.shape == (2, last.weight.shape[1])
        return
    with torch.inference_mode():
        again = features.double() @ last.weight.flatten(1).T + (0 if last.bias is None else last.bias)
    torch.testing.assert_close(again, expected, rtol=1e-4, atol=1e-4)


def test_every_end_point_is_its_map_averaged() -> None:
    model = network()
    images = batch(model)
    with torch.inference_mode():
        points = model.forward_intermediates(images)
    names = point_names(model)
    assert names == [*list(points)[:-1], PENULTIMATE]
    for name in names[:-1]:
        features = FeatureNetwork(model, name).features(images)
        torch.testing.assert_close(features, points[name].mean(dim=(2, 3)))
    assert torch.equal(
        FeatureNetwork(model, "layer2").features(images), FeatureNetwork(model, "layer2.0").features(images)
    )


def test_points_of_a_dense_head() -> None:
    model = network("vgg11", input_size=32, hidden=64)
    images = batch(model)
    assert {"fc6", "fc7"} <= set(point_names(model))
    assert torch.equal(FeatureNetwork(model, "fc7").features(images), FeatureNetwork(model).features(images))


def test_the_model_stays_and_weights_are_shared() -> None:
    model = network()
    images = batch(model)
    before = FeatureNetwork(model).features(images)
    assert not model.get_submodule("fc")._forward_pre_hooks
    reader = FeatureNetwork(model)
    with torch.no_grad():
        model.get_submodule("conv1").weight.mul_(2)
    assert not torch.equal(reader.features(images), before)


def test_threads_keep_their_batches_apart() -> None:
    model = network()
    reader = FeatureNetwork(model)
    images = batch(model, 64).split(1)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(reader.features, images))
    for one, image in zip(together, images, strict=True):
        assert torch.equal(one, reader.features(image))


def test_unit_length() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert unit_length(rows).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0]]


def test_refusals() -> None:
    with pytest.raises(InputError, match="layer3"):
        FeatureNetwork(network(), "layer33")
    with pytest.raises(InputError, match="Residua built"):
        FeatureNetwork(nn.Linear(3, 3))
    with pytest.raises(InputError, match="features of penultimate"):
        FeatureNetwork(network(), "layer1").with_logits(batch(network()))
    with pytest.raises(InputError, match="classifier"):
        classifier_module(get_spec("cifar_resnet8", num_classes=0))
