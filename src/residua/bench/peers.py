"""Peers' networks for timing: the same structure, built by torchvision, timm or Keras."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn

from residua._base.errors import InputError
from residua.bench.case import Case
from residua.bench.steps import Step, images_of, peer_step
from residua.specs.schema import Spec
from residua.verification.keras_peer import build_keras, has_one_size, import_keras
from residua.weights.peers.same_network import PeerNetwork, peer_network_of


def has_peer(model: str, source: str) -> bool:
    """Return whether a library has our network."""
    return peer_network_of(model, source) is not None


def spec_beside(spec: Spec, source: str) -> Spec:
    """Return the spec with the peer's value of fields that differ, so that both do the same work."""
    return spec.edit(**_peer_network(spec.name, source).edits)


def _peer_network(model: str, source: str) -> PeerNetwork:
    network = peer_network_of(model, source)
    if network is None:
        raise InputError(f"peer {source!r} for {model}", "a library that has the network", "Name a different peer")
    return network


def require(source: str) -> Any:
    """Import a peer's library.

    Raises:
        InputError: it is not installed; the message names the command that installs it.
    """
    try:
        return import_keras() if source == "keras" else importlib.import_module(source)
    except ImportError as error:
        raise InputError(
            f"peer {source!r}, which cannot be imported ({error})",
            "an installed library to measure beside",
            "Install it with: pip install 'residua[peers]'",
        ) from error


def build_peer(model: str, source: str) -> nn.Module:
    """Build a torch peer's network as its library builds it, freshly initialised, with its own number of classes."""
    library, name = require(source), _peer_network(model, source).name
    if source == "timm":
        network: nn.Module = library.create_model(name)
        return network
    # torchvision warns that its inceptions will initialise differently one day, unless the choice is explicit.
    options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    made: nn.Module = library.models.get_model(name, weights=None, **options)
    return made


def peer_step_of(case: Case, spec: Spec, device: torch.device) -> Step:
    """Return a step of the peer's network.

    Raises:
        InputError: Keras in bf16, on a device that its backend does not see, or at a size at which its network is
            another than ours.
    """
    if case.source == "keras":
        return _keras_step(case, spec, device)
    torch.manual_seed(0)
    return peer_step(case, build_peer(case.model, case.source), spec, device)


def _keras_step(case: Case, spec: Spec, device: torch.device) -> Step:
    """Return a step of a Keras network: one graph over TensorFlow, its ordinary way of predicting and training."""
    if case.precision != "fp32":
        raise InputError(f"peer 'keras' in {case.precision}", "precision='fp32' beside Keras", "Leave out precision=…")
    if has_one_size(spec) and case.resolution != spec.input_size:
        raise InputError(
            f"peer 'keras' for {case.model} at {case.resolution} pixels, where it is another network",
            f"{spec.input_size} pixels, for which both are the same network",
            "Leave out resolution=…",
        )
    keras = require("keras")
    if keras.backend.backend() == "tensorflow":
        config = require("tensorflow").config
        if device.type == "cpu":
            config.set_visible_devices([], "GPU")
        elif not config.list_physical_devices("GPU"):
            raise InputError(
                f"peer 'keras' on {device}, which the installed TensorFlow does not see",
                "a backend of Keras that computes on the same device",
                "Use device='cpu', or install TensorFlow for the GPU",
            )
    shape = (case.resolution, case.resolution, spec.in_channels)
    network = build_keras(keras, _peer_network(case.model, "keras"), shape, spec.num_classes)
    images = images_of(spec, case, torch.device("cpu")).permute(0, 2, 3, 1).contiguous().numpy()
    if case.mode == "forward":
        return lambda: network.predict_on_batch(images)
    network.compile(
        optimizer=keras.optimizers.SGD(1e-3, momentum=0.9),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    labels = (torch.arange(case.batch) % spec.num_classes).numpy()
    return lambda: network.train_on_batch(images, labels)
