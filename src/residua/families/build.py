"""Spec -> network."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from residua.families.network import Classifier
from residua.specs.catalog import get_spec
from residua.specs.schema import Spec


def build(spec: Spec) -> Classifier:
    """Build the network that `spec` describes, freshly initialised from torch's global generator.

    The network keeps it as `.spec`. Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes). Under
    `torch.device("meta")` it has shapes and no values.
    """
    kind = network_class(spec)
    device = torch.get_default_device()
    # Layers draw weights when they are made; on the meta device that costs nothing, and `initialise` draws them once.
    with torch.device("meta"):
        network = kind(spec)
    if device.type != "meta":
        network.to_empty(device=device)
        network.initialise()
    return network


def network_class(spec: Spec) -> type[Classifier]:
    """Return the class of the networks of a spec's family."""
    kind: type[Classifier] = importlib.import_module(f"residua.families.{spec.family}").Network
    return kind


def spec_of(model: str | Spec, num_classes: int | None = None, in_channels: int | None = None, **edits: Any) -> Spec:
    """Return the spec of a name or a spec, with its ends and fields edited; None keeps what it has."""
    ends = {"num_classes": num_classes, "in_channels": in_channels}
    changes = {key: value for key, value in ends.items() if value is not None} | edits
    spec = get_spec(model) if isinstance(model, str) else model
    return spec.edit(**changes) if changes else spec
