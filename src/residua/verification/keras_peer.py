"""Keras as a peer: its networks with weights that hide nothing, and the logits that it computes."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from residua.specs.schema import Spec
from residua.verification.draws import BIASES, LEAST_VARIANCE, MEANS_OFF, SCALES, VARIANCE_FACTORS
from residua.verification.keras_example import build_example, is_example
from residua.weights.peers.same_network import PeerNetwork
from residua.weights.sources.keras import takes_bgr

_LIMITS = {"gamma": SCALES, "beta": BIASES, "bias": BIASES}


def import_keras() -> Any:
    """Import Keras, with its backend silent.

    Raises:
        ImportError: Keras or its backend is not installed.
    """
    # Triton, which comes with it, crashes where TensorFlow's libraries were loaded first.
    importlib.import_module("torch._dynamo")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _silent_stderr():
        return importlib.import_module("keras")


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Drop what is written to the file descriptor: TensorFlow's C++ logs before it looks at its own settings."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def build_keras(keras: Any, peer_network: PeerNetwork, shape: tuple[int, ...], classes: int) -> Any:
    """Build a network of Keras Applications or of its CIFAR-10 example, freshly initialised, that gives logits.

    Args:
        keras: the module.
        peer_network: the network.
        shape: (H, W, C) of an image.
        classes: number of logits.
    """
    if is_example(peer_network.name):
        return build_example(keras, peer_network.name, shape, classes)
    kind = getattr(keras.applications, peer_network.name)
    return kind(weights=None, input_shape=shape, classes=classes, classifier_activation=None)


def has_one_size(spec: Spec) -> bool:
    """Return whether Keras's network is ours at the published size alone.

    Keras flattens VGG's last map as it is, and pools the CIFAR example's in windows of 8, where ours pool to one size.
    """
    return spec.family == "vgg" or getattr(spec, "stem", "") == "cifar"


def logits_and_weights(
    peer_network: PeerNetwork, spec: Spec, images: Tensor, seed: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Build a network of Keras, draw its weights, and compute its logits.

    Args:
        peer_network: the network.
        spec: ours, for its channels and classes.
        images: (B, C, H, W), in the type to compute in.
        seed: of the weights.

    Returns:
        The logits (B, num_classes), and the weights under "layer/variable", as files of Keras are read.
    """
    keras = import_keras()
    seen = images.flip(1) if takes_bgr(spec) else images  # the converter turns the first kernel
    pixels = seen.permute(0, 2, 3, 1).contiguous().numpy()
    with keras.device("cpu:0"), _computing_in(keras, str(pixels.dtype)):
        network = build_keras(keras, peer_network, pixels.shape[1:], spec.num_classes)
        _draw(keras, network, pixels, seed)
        logits = _tensor(network(pixels, training=False))
    return logits, {f"{layer.name}/{each.name}": _tensor(each) for layer in network.layers for each in layer.weights}


@contextmanager
def _computing_in(keras: Any, dtype: str) -> Iterator[None]:
    """Give Keras's networks inputs, weights and activations of this type inside."""
    kept = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(kept[0])
        keras.config.set_dtype_policy(kept[1])


def _draw(keras: Any, network: Any, pixels: NDArray[np.floating], seed: int) -> None:
    """Draw every variable by the rules of `residua.verification.peers.drawn`."""
    generator = np.random.default_rng(seed)
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in network.layers:
        for variable in layer.weights:
            if variable.name == "kernel":
                deviation = (2 / np.prod(variable.shape[:-1])) ** 0.5
                variable.assign(generator.normal(0, deviation, variable.shape))
            elif variable.name in _LIMITS:
                variable.assign(generator.uniform(*_LIMITS[variable.name], variable.shape))
            elif layer not in norms:
                raise RuntimeError(f"{layer.name}/{variable.name}: no rule draws it")
    kept = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0  # keeps nothing of what was: Keras counts the other way round than torch
    if norms:
        network(pixels, training=True)
    for layer, momentum in zip(norms, kept, strict=True):
        layer.momentum = momentum
        mean, variance = np.array(layer.moving_mean), np.array(layer.moving_variance)
        variance = np.maximum(variance, LEAST_VARIANCE * variance.mean())
        layer.moving_mean.assign(mean + np.sqrt(variance) * generator.uniform(*MEANS_OFF, mean.shape))
        layer.moving_variance.assign(variance * generator.uniform(*VARIANCE_FACTORS, variance.shape))
    for variable in network.weights:
        variable.assign(np.array(variable, np.float32))  # as files keep them, whatever is computed in


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values))
