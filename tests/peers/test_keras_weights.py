"""Files of Keras, in each of its forms, become runs whose logits are Keras's, from the image's pixels on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from residua._base.errors import InputError
from residua.data.preprocess.normalise import normalise
from residua.data.preprocess.resize import apply_uint8
from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.specs.preprocess import CIFAR_MEAN, resized
from residua.specs.schema import Spec
from residua.weights.files.keras_file import read_layers
from residua.weights.open import load
from residua.weights.sources.read_source import get_source, read_weights

h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install 'residua[keras]'")

LIMITS = {"gamma": (0.6, 1.4), "beta": (-0.3, 0.3), "moving_mean": (-0.3, 0.3), "moving_variance": (0.5, 2.0)}
LIMITS |= {"bias": (-0.3, 0.3)}
CLASSES = 7


def _randomised(model: Any) -> Any:
    """Draw everything that starts as a constant: what is swapped or dropped then shows in the logits."""
    generator = np.random.default_rng(0)
    for layer in model.layers:
        for variable in layer.weights:
            if variable.name in LIMITS:
                variable.assign(generator.uniform(*LIMITS[variable.name], variable.shape))
    return model


def _application(module: str, name: str, size: int) -> Callable[[ModuleType], tuple[Any, Callable[..., Any]]]:
    def make(keras: ModuleType) -> tuple[Any, Callable[..., Any]]:
        home = getattr(keras.applications, module)
        shape = (size, size, 3)
        model = getattr(home, name)(weights=None, input_shape=shape, classes=CLASSES, classifier_activation=None)
        return _randomised(model), home.preprocess_input

    return make


def _less_mean(pixels: np.ndarray) -> np.ndarray:
    return pixels / 255 - np.array(CIFAR_MEAN)


def _cifar_v1(keras: ModuleType) -> tuple[Any, Callable[..., Any]]:
    """The example's ResNet-20 v1: biases everywhere, projections without normalisation."""
    layers = keras.layers

    def conv(x: Any, width: int, kernel: int, stride: int) -> Any:
        return layers.Conv2D(width, kernel, stride, padding="same", kernel_initializer="he_normal")(x)

    def normed(x: Any) -> Any:
        return layers.BatchNormalization()(x)

    def relu(x: Any) -> Any:
        return layers.Activation("relu")(x)

    image = keras.Input((32, 32, 3))
    x = relu(normed(conv(image, 16, 3, 1)))
    for stage, width in enumerate((16, 32, 64)):
        for unit in range(3):
            entering = stage > 0 and unit == 0
            stride = 2 if entering else 1
            y = relu(normed(conv(x, width, 3, stride)))
            y = normed(conv(y, width, 3, 1))
            skip = conv(x, width, 1, stride) if entering else x
            x = relu(layers.add([skip, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return _randomised(keras.Model(image, layers.Dense(10)(x))), _less_mean


def _cifar_v2(keras: ModuleType) -> tuple[Any, Callable[..., Any]]:
    """The example's ResNet-29 v2: the first convolution of all is followed by BN-ReLU, every other comes after."""
    layers = keras.layers

    def conv(x: Any, width: int, kernel: int, stride: int = 1) -> Any:
        return layers.Conv2D(width, kernel, stride, padding="same", kernel_initializer="he_normal")(x)

    def active(x: Any) -> Any:
        return layers.Activation("relu")(layers.BatchNormalization()(x))

    image = keras.Input((32, 32, 3))
    x = active(conv(image, 16, 3))
    inner = 16
    for stage in range(3):
        outer = inner * (2 if stage else 4)
        for unit in range(3):
            stride = 2 if stage and not unit else 1
            first = conv(x if not stage and not unit else active(x), inner, 1, stride)
            y = conv(active(conv(active(first), inner, 3)), outer, 1)
            skip = x if unit else conv(x, outer, 1, stride)
            x = layers.add([skip, y])
        inner = outer
    x = layers.Flatten()(layers.AveragePooling2D(8)(active(x)))
    return _randomised(keras.Model(image, layers.Dense(10)(x))), _less_mean


CASES: dict[str, tuple[int, Callable[[ModuleType], tuple[Any, Callable[..., Any]]]]] = {
    "resnet50_keras": (64, _application("resnet", "ResNet50", 64)),
    "resnet50_v2_keras": (64, _application("resnet_v2", "ResNet50V2", 64)),
    "vgg16": (64, _application("vgg16", "VGG16", 64)),
    "densenet121": (64, _application("densenet", "DenseNet121", 64)),
    "inception_v3": (107, _application("inception_v3", "InceptionV3", 107)),
    "inception_resnet_v2": (107, _application("inception_resnet_v2", "InceptionResNetV2", 107)),
    "cifar_resnet20_keras": (32, _cifar_v1),
    "cifar_resnet29_v2_keras": (32, _cifar_v2),
}


# Layers with names of their own, layers that are counted, and both.
FORMS = ("resnet50_keras", "inception_v3", "cifar_resnet20_keras")


def _spec(name: str) -> Spec:
    # A quarter of the published side leaves VGG's first dense layer a map of 2×2; the order of its pixels stays.
    return get_spec(name, grid=2) if name == "vgg16" else get_spec(name)


def _without_names(path: Path, target: Path) -> Path:
    """Write the file as the first versions of Keras 3 did: groups counted by class, layers' own names nowhere."""
    with h5py.File(path) as given, h5py.File(target, "w") as made:

        def copy(name: str, entry: Any) -> None:
            if isinstance(entry, h5py.Dataset):
                made.create_dataset(name, data=entry[()])

        given.visititems(copy)
    return target


@pytest.mark.parametrize("name", CASES)
def test_logits_and_every_form_of_file(name: str, keras: ModuleType, tmp_path: Path) -> None:
    size, make = CASES[name]
    keras.layers.Conv2D(1, 1)  # automatic numbers need not begin at 0
    model, preprocess_input = make(keras)
    path = tmp_path / "it.weights.h5"
    model.save_weights(path)
    found = read_weights(path, _spec(name))
    assert found.source == "keras"
    ours = build(found.spec).eval()
    ours.load_state_dict(found.tensors)

    # From the same levels, each side by its own preprocessing.
    fed = resized(get_source("keras").preprocess(found.spec, path.name), size)
    image = np.random.default_rng(1).integers(0, 256, (size + 40, size + 60, 3)).astype(np.uint8)
    pixels = apply_uint8(image, fed)
    want = np.asarray(model(preprocess_input(pixels[None].astype(np.float32)), training=False))
    with torch.no_grad():
        got = ours(normalise(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None], fed)).numpy()
    assert want.std() > 1e-2
    assert np.abs(got - want).max() / np.abs(want).max() <= 1e-5

    # The same from every other form that Keras has written; what they hold does not depend on the network.
    if name not in FORMS:
        return
    layers = read_layers(path)
    model.save(tmp_path / "it.keras")
    with h5py.File(tmp_path / "legacy.h5", "w") as file:
        keras.src.legacy.saving.legacy_h5_format.save_weights_to_hdf5_group(file, model)
    for other in (tmp_path / "it.keras", tmp_path / "legacy.h5"):
        again = read_layers(other)
        assert again.keys() == layers.keys()
        assert all(np.array_equal(again[key], layers[key]) for key in layers)
    tensors = read_weights(_without_names(path, tmp_path / "nameless.h5"), _spec(name)).tensors
    assert tensors.keys() == found.tensors.keys()
    assert all(torch.equal(tensors[key], found.tensors[key]) for key in tensors)
    keras.utils.clear_session()


# The names before 2018, and the order of a layer's weights that Keras 1 kept under names of its own.
OLD_PARTS = {"0": "branch1", "1": "branch2a", "2": "branch2b", "3": "branch2c"}
OLD_WEIGHTS = {4: ["gamma", "beta", "running_mean", "running_std"], 2: ["W", "b"]}


def _old_name(name: str) -> str:
    if name in ("conv1_conv", "conv1_bn", "predictions"):
        return {"conv1_conv": "conv1", "conv1_bn": "bn_conv1", "predictions": "fc1000"}[name]
    stage, block, part, kind = name.split("_")
    place = f"{stage[-1]}{'abcdef'[int(block.removeprefix('block')) - 1]}"
    return f"{'res' if kind == 'conv' else 'bn'}{place}_{OLD_PARTS[part]}"


def test_the_first_resnet50(keras: ModuleType, tmp_path: Path) -> None:
    model, preprocess_input = CASES["resnet50_keras"][1](keras)
    path = tmp_path / "resnet50_weights_tf_dim_ordering_tf_kernels.h5"
    with h5py.File(path, "w") as file:
        names = []
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.epsilon = 1e-3
            values = layer.get_weights()
            name = _old_name(layer.name) if values else layer.name
            names.append(name.encode())
            group = file.create_group(name)
            parts = [f"{name}_{part}:0".encode() for part in OLD_WEIGHTS.get(len(values), [])]
            group.attrs["weight_names"] = parts
            for part, value in zip(parts, values, strict=True):
                group[part.decode()] = value
        file.attrs["layer_names"] = names
    found = read_weights(path, get_spec("resnet50_keras"))
    ours = build(found.spec).eval()
    ours.load_state_dict(found.tensors)
    fed = resized(get_source("keras").preprocess(found.spec, path.name), 64)
    image = np.random.default_rng(1).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    want = np.asarray(model(preprocess_input(image.astype(np.float32)), training=False))
    with torch.no_grad():
        got = ours(normalise(torch.from_numpy(image).permute(0, 3, 1, 2), fed)).numpy()
    assert np.abs(got - want).max() / np.abs(want).max() <= 1e-5


def _without(folder: Path) -> dict[str, str]:
    """An environment in which nobody, no child process either, can import what must not be needed."""
    folder.mkdir()
    for name in ("tensorflow", "keras", "tf_keras"):
        (folder / f"{name}.py").write_text("raise ImportError('blocked')\n")
    paths = [str(folder), *(path for path in sys.path if path)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def test_the_command_without_tensorflow_and_keras(keras: ModuleType, tmp_path: Path) -> None:
    model, _ = _cifar_v1(keras)
    model.compile("sgd", "mse")
    model.save(tmp_path / "cifar10_ResNet20v1_model.164.h5")
    words = [str(tmp_path / "cifar10_ResNet20v1_model.164.h5"), "--model", "cifar_resnet20_keras"]
    done = subprocess.run(
        [sys.executable, "-m", "residua", "convert", *words, "--out", str(tmp_path / "run")],
        env=_without(tmp_path / "blocked"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "keras" in done.stdout
    assert "CIFAR-10" in done.stderr
    run = load(tmp_path / "run")
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    want = np.asarray(model(_less_mean(image[None]).astype(np.float32), training=False))
    with torch.no_grad():
        got = run.model(run.preprocess(image)[None]).numpy()
    assert np.abs(got - want).max() / np.abs(want).max() <= 1e-5
    assert run.classes[:2] == ("airplane", "automobile")


def test_refusals(keras: ModuleType, tmp_path: Path) -> None:
    headless = keras.applications.ResNet50V2(weights=None, include_top=False, input_shape=(32, 32, 3))
    headless.save_weights(tmp_path / "headless.weights.h5")
    with pytest.raises(InputError, match="include_top=False"):
        read_weights(tmp_path / "headless.weights.h5", get_spec("resnet50_v2_keras"))
    model, _ = _cifar_v1(keras)
    path = tmp_path / "it.weights.h5"
    model.save_weights(path)
    with pytest.raises(InputError, match="Did you mean cifar_resnet20_keras"):
        read_weights(path, get_spec("cifar_resnet20"))
    with pytest.raises(InputError, match="21 of conv2d where it has 33; 19 of batch_normalization where it has 31"):
        read_weights(path, get_spec("cifar_resnet32_keras"))
    with pytest.raises(InputError, match="missing"):
        read_weights(path, get_spec("resnet50_keras"))
