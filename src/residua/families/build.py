"""Spec -> network."""

from __future__ import annotations

import os
import reprlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from residua._base.errors import InputError
from residua.families.network import Classifier
from residua.specs.catalog import get_spec
from residua.specs.families import family_named
from residua.specs.schema import OWN, Own, Spec

_MOST_UNITS = 100_000  # layers' objects alone take gigabytes then, and building takes minutes


def build(spec: Spec) -> Classifier:
    """Build the network that `spec` describes, freshly initialised from torch's global generator.

    The network keeps it as `.spec`. Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes). Under
    `torch.device("meta")` it has shapes and no values.

    Raises:
        InputError: it is no spec, or one of a network that does not fit into the device's memory.
    """
    device = torch.get_default_device()
    network = outline(spec)
    if device.type != "meta":
        _require_memory(network, device)
        network.to_empty(device=device)
        network.initialise()
    return network


def network_class(spec: Spec) -> type[Classifier]:
    """Return the class of the networks of a spec's family."""
    kind: type[Classifier] = family_named(spec.family).network_class
    return kind


def outline(spec: Spec) -> Classifier:
    """Build the network that `spec` describes on the meta device, at once: shapes, and no values.

    Raises:
        InputError: it is no spec, or one of a network that no memory holds.
    """
    if not isinstance(spec, Spec):
        raise InputError(f"network {reprlib.repr(spec)}", "a spec", "Use get_spec(NAME), or create_model(NAME)")
    remedy = "Use fewer layers, channels or classes"
    units = sum(getattr(spec, "depths", (getattr(spec, "depth", 0),)))
    if units > _MOST_UNITS:
        raise InputError(f"{spec.name} with {units:,} units", f"at most {_MOST_UNITS:,}", remedy)
    try:
        with _ShapesOnly():
            return network_class(spec)(spec)
    except (RuntimeError, TypeError, OverflowError) as error:
        # torch counts the bytes of a tensor in 64 bits.
        if "overflow" not in str(error).lower():
            raise
        raise InputError(
            f"{spec.name} with a layer of more than {2**63:,} bytes", "layers that a memory holds", remedy
        ) from error


def spec_of(
    model: str | Spec, num_classes: int | Own | None = OWN, in_channels: int | None = None, **edits: Any
) -> Spec:
    """Return the spec of a name or a spec, with its ends and fields edited.

    Args:
        model: the name or the spec.
        num_classes: outputs; 0 or None for a network without a classifier. Left out, those that it has.
        in_channels: channels of the input image; None keeps what it has.
        edits: fields of the spec.

    Raises:
        InputError: neither a name nor a spec; as `get_spec`.
    """
    ends: dict[str, Any] = {} if num_classes is OWN else {"num_classes": 0 if num_classes is None else num_classes}
    ends |= {} if in_channels is None else {"in_channels": in_channels}
    changes = ends | edits
    spec = model if isinstance(model, Spec) else get_spec(model)
    return spec.edit(**changes) if changes else spec


def _require_memory(network: Classifier, device: torch.device) -> None:
    tensors = network.state_dict()
    needed = sum(tensor.nbytes for tensor in tensors.values())
    if device.type == "cuda":
        room = torch.cuda.get_device_properties(device).total_memory
    else:
        room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > room:
        name, largest = max(tensors.items(), key=lambda item: item[1].nbytes)
        raise InputError(
            f"{network.spec.name}, whose weights take {needed / 1e9:,.1f} GB",
            f"a network that the memory of {room / 1e9:,.1f} GB holds",
            f"Its largest tensor is {name}, {'×'.join(map(str, largest.shape))}: use fewer channels or classes",
        )


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
