"""Keras's ResNets: Applications v1 and v2, and the networks of its CIFAR-10 example; its weights in, its logits out."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
import torch._dynamo  # Triton, which comes with it, crashes where TensorFlow's libraries were loaded first.
from torch import nn

from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.verification.keras_example import build_example

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keras = pytest.importorskip("keras", reason="keras is not installed: pip install 'residua[peers]'")
layers = keras.layers

SIDE = 96  # of the image, pixels: as 224 halved to odd sides at last
NORM = ("weight", "bias", "running_mean", "running_var")


def _randomise(model: Any) -> None:
    generator = np.random.default_rng(0)
    for layer in model.layers:
        weights = layer.get_weights()
        if isinstance(layer, layers.BatchNormalization):
            limits = ((0.6, 1.4), (-0.3, 0.3), (-0.3, 0.3), (0.5, 2.0))
            layer.set_weights([generator.uniform(*pair, w.shape) for pair, w in zip(limits, weights, strict=True)])
        elif len(weights) == 2:
            layer.set_weights([weights[0], generator.uniform(-0.3, 0.3, weights[1].shape)])


def _tensors(layer: Any) -> dict[str, torch.Tensor]:
    values = [torch.from_numpy(np.asarray(value)) for value in layer.get_weights()]
    if isinstance(layer, layers.BatchNormalization):
        return dict(zip(NORM, values, strict=True))
    kernel = values[0].permute(3, 2, 0, 1) if values[0].dim() == 4 else values[0].T
    return {"weight": kernel} | ({"bias": values[1]} if len(values) > 1 else {})


def _load(network: nn.Module, modules: dict[str, Any]) -> nn.Module:
    state = {f"{name}.{leaf}": value for name, layer in modules.items() for leaf, value in _tensors(layer).items()}
    absent, unexpected = network.load_state_dict(state, strict=False)
    assert not unexpected
    assert all("num_batches_tracked" in key for key in absent)
    return network.eval()


def _agree(peer: Any, network: nn.Module, size: int, tolerance: float = 1e-4) -> None:
    pixels = np.random.default_rng(1).standard_normal((2, size, size, 3)).astype(np.float32)
    want = torch.from_numpy(np.array(peer(pixels, training=False)))
    with torch.no_grad():
        got = network(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    assert want.std() > 1e-3
    assert ((got - want).abs().max() / want.abs().max()).item() <= tolerance


def _ours_from_application(name: str) -> str:
    """Our module of a layer of Keras Applications."""
    fixed = {"conv1_conv": "conv1", "conv1_bn": "bn1", "post_bn": "norm", "predictions": "fc"}
    if name in fixed:
        return fixed[name]
    stage, block, *rest = name.split("_")
    place = f"layer{int(stage[4:]) - 1}.{int(block[5:]) - 1}"
    if rest == ["preact", "bn"]:
        return f"{place}.bn1"
    number, kind = rest
    if number == "0":
        return f"{place}.downsample.{0 if kind == 'conv' else 1}"
    return f"{place}.{kind}{number}"


@pytest.fixture(scope="module", params=[1, 2])
def application(request: pytest.FixtureRequest) -> tuple[int, Any, nn.Module]:
    """ResNet-50 of either version, ours with Keras's weights; the deeper differ in depth alone, which counts prove."""
    version = request.param
    keras.utils.set_random_seed(0)
    make = keras.applications.ResNet50V2 if version == 2 else keras.applications.ResNet50
    peer = make(weights=None, classifier_activation=None, input_shape=(SIDE, SIDE, 3))
    _randomise(peer)
    modules = {}
    for layer in peer.layers:
        if layer.get_weights():
            ours = _ours_from_application(layer.name)
            # A pre-activated unit's norms stand one convolution later under our names.
            if version == 2 and layer.name.endswith(("_1_bn", "_2_bn")):
                ours = f"{ours[:-1]}{int(ours[-1]) + 1}"
            modules[ours] = layer
    return version, peer, _load(build(get_spec(f"resnet50{'_v2' * (version == 2)}_keras")), modules)


def test_applications(application: tuple[int, Any, nn.Module]) -> None:
    _, peer, network = application
    assert network.spec.bn_eps == peer.get_layer("conv2_block1_1_bn").epsilon
    assert network.spec.bn_momentum == pytest.approx(1 - peer.get_layer("conv2_block1_1_bn").momentum)
    _agree(peer, network, SIDE)


def test_end_points_are_keras_layers(application: tuple[int, Any, nn.Module]) -> None:
    """By name, in order, and by value."""
    version, peer, network = application
    names = [name for name, _ in network.parts()]
    wanted = [layer.name for layer in peer.layers if layer.name.endswith("_out")]
    assert names == ["pool1_pool", *wanted, *(["post_relu"] if version == 2 else [])]
    inner = keras.Model(peer.input, [peer.get_layer(name).output for name in names])
    pixels = np.random.default_rng(1).standard_normal((1, SIDE, SIDE, 3)).astype(np.float32)
    with torch.no_grad():
        points = network.forward_intermediates(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    for name, value in zip(names, inner(pixels, training=False), strict=True):
        want = torch.from_numpy(np.array(value)).permute(0, 3, 1, 2)
        assert ((points[name] - want).abs().max() / want.abs().max()).item() <= 1e-4, name


def _modules_in_creation_order(network: nn.Module) -> list[str]:
    """Our modules in the order in which the example makes their layers."""
    names = ["conv1", "bn1"]
    for stage, units in enumerate(network.stages(), 1):
        for index, unit in enumerate(units):
            pairs = [(f"conv{i}", f"bn{i}") for i in range(1, unit.depth + 1)]
            order = [name for pair in pairs for name in (pair if unit.depth == 2 else reversed(pair))]
            order += ["downsample.0"] if unit.downsample else []
            names += [f"layer{stage}.{index}.{name}" for name in order]
    names += [] if network.spec.activation == "post" else ["norm"]
    return [name for name in [*names, "fc"] if not isinstance(network.get_submodule(name), nn.Identity)]


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("cifar_resnet20_keras", "ResNet20v1"),
        ("cifar_resnet32_keras", "ResNet32v1"),
        ("cifar_resnet11_v2_keras", "ResNet11v2"),
        ("cifar_resnet29_v2_keras", "ResNet29v2"),
    ],
)
def test_the_cifar_example(name: str, theirs: str) -> None:
    keras.utils.set_random_seed(0)
    peer = build_example(keras, theirs, (32, 32, 3), 10)
    _randomise(peer)
    network = build(get_spec(name))
    names = _modules_in_creation_order(network)
    modules = {}
    for kind, ours in (
        (layers.Conv2D, nn.Conv2d),
        (layers.BatchNormalization, nn.BatchNorm2d),
        (layers.Dense, nn.Linear),
    ):
        made = sorted((layer for layer in peer.layers if isinstance(layer, kind)), key=_number)
        own = [name for name in names if isinstance(network.get_submodule(name), ours)]
        modules |= dict(zip(own, made, strict=True))
    _load(network, modules)
    assert sum(w.numel() for w in network.parameters()) == sum(int(np.prod(w.shape)) for w in peer.trainable_weights)
    _agree(peer, network, 32)


def _number(layer: Any) -> int:
    """Keras counts the layers of a kind in the order in which they are made: conv2d, conv2d_1, …"""
    last = layer.name.rsplit("_", 1)[-1]
    return int(last) if last.isdigit() else 0


def test_symmetric_padding_would_be_another_network() -> None:
    """The example's strided 3×3 pads after the image; torch's padding gives other logits with the same weights."""
    ours = build(get_spec("cifar_resnet20_keras")).double().eval()
    other = build(get_spec("cifar_resnet20_keras", padding="symmetric")).double().eval()
    other.load_state_dict(ours.state_dict(), strict=True)
    image = torch.randn(1, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert ((ours(image) - other(image)).abs().max() / ours(image).abs().max()).item() > 1e-2
