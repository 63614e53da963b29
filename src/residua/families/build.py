"""Spec -> network."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from residua.families.network import Classifier
from residua.specs.catalog import get_spec
from residua.specs.schema import Spec


def build(spec: Spec) -> Classifier:
    """Build the network that `spec` describes, freshly initialised from torch's global generator.

    The network keeps it as `.spec`. Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes). Under
    `torch.device("meta")` it has shapes and no values.
    """
    device = torch.get_default_device()
    network = outline(spec)
    if device.type != "meta":
        network.to_empty(device=device)
        network.initialise()
    return network


def network_class(spec: Spec) -> type[Classifier]:
    """Return the class of the networks of a spec's family."""
    kind: type[Classifier] = importlib.import_module(f"residua.families.{spec.family}").Network
    return kind


def outline(spec: Spec) -> Classifier:
    """Build the network that `spec` describes on the meta device, at once: shapes, and no values."""
    with _ShapesOnly():
        return network_class(spec)(spec)


def spec_of(model: str | Spec, num_classes: int | None = None, in_channels: int | None = None, **edits: Any) -> Spec:
    """Return the spec of a name or a spec, with its ends and fields edited; None keeps what it has."""
    ends = {"num_classes": num_classes, "in_channels": in_channels}
    changes = {key: value for key, value in ends.items() if value is not None} | edits
    spec = get_spec(model) if isinstance(model, str) else model
    return spec.edit(**changes) if changes else spec


class _ShapesOnly(TorchFunctionMode):
    """Inside, tensors are made on the meta device, and layers draw no weights: `initialise` draws them once.

    As `torch.device("meta")`, but that calls every draw and fill, which is most of the time that building takes.
    """

    _MAKES = frozenset((torch.empty, torch.zeros, torch.ones, torch.full, torch.tensor, torch.rand, torch.randn))
    _FILLS = frozenset((nn.init.kaiming_uniform_, nn.init.kaiming_normal_, nn.init.uniform_, nn.init.normal_))
    _FILLS |= {nn.init.constant_, Tensor.fill_, Tensor.zero_, Tensor.uniform_, Tensor.normal_}

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in self._FILLS:
            return args[0] if args else kwargs["tensor"]
        if function in self._MAKES:
            kwargs = {**kwargs, "device": "meta"}
        return function(*args, **kwargs)
