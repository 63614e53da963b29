"""Deepen a network by units that are the identity: a deeper network can compute what a shallower one does (He 2015)."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from residua._base.errors import InputError
from residua.families.build import build
from residua.families.network import Classifier
from residua.layers.unit import ResidualUnit
from residua.specs.fields import UnitCounts, checked
from residua.specs.resnet import ResNetSpec
from residua.specs.schema import Spec
from residua.specs.vgg import VGGSpec

_NO_DEPTHS = {
    "densenet": "each layer's output is read by all later layers: one more changes the channels of each",
    "highway": "a gate that is closed entirely passes no gradient, and an open one is no identity",
    "highway_mlp": "a gate that is closed entirely passes no gradient, and an open one is no identity",
}


def deeper(network: Classifier, depths: Sequence[int]) -> Classifier:
    """Return a new network with units that are the identity behind those of each stage; see `residua.deepen`.

    Raises:
        InputError: a network whose units cannot be the identity, and why; depths that are not larger.
    """
    spec = network.spec
    if not isinstance(spec, ResNetSpec | VGGSpec):
        reason = _NO_DEPTHS.get(spec.family, "its modules change the channels, and it has no units that repeat")
        raise InputError(f"{spec.name} to deepen: {reason}", "a residual or plain network, or a VGG", "Deepen another")
    target = spec.edit(depths=_longer(spec, depths))
    if isinstance(spec, ResNetSpec):
        _refuse_units(spec, target.depths)
    first = next(network.parameters())
    with torch.device(first.device):
        deepened = build(target).to(first.dtype)
    names = _vgg_names(spec, target.depths) if isinstance(spec, VGGSpec) else _resnet_names(spec, target.depths)
    state = deepened.state_dict()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            # The longest prefix of a name that moves: a unit, or a layer of VGG.
            prefix = ".".join(name.split(".")[:2])
            state[f"{names[prefix]}{name.removeprefix(prefix)}" if prefix in names else name].copy_(tensor)
        kept = set(names.values())
        for name, module in deepened.named_modules():
            if isinstance(module, ResidualUnit) and name not in kept:
                _make_identity(module, target)
            elif re.fullmatch(r"features\.\d+", name) and name not in kept:
                _pass_on(module)
    deepened.train(network.training)
    deepened.layout, deepened.provenance = network.layout, network.provenance
    return deepened


def _longer(spec: ResNetSpec | VGGSpec, depths: Sequence[int]) -> tuple[int, ...]:
    """Return checked depths of a deeper network.

    Raises:
        InputError: depths that are not larger; a network whose units are listed one by one.
    """
    if isinstance(spec, ResNetSpec) and spec.units:
        raise InputError(
            f"{spec.name} to deepen, whose units=… lists each unit by itself",
            "a network that has depths: equal units in a stage",
            "Build the longer list: create_model(NAME, units=…)",
        )
    settled = checked("depths", depths, UnitCounts, f"Its stages have {spec.depths}")
    if len(settled) != len(spec.depths) or any(new < old for new, old in zip(settled, spec.depths, strict=False)):
        raise InputError(
            f"depths={settled} to deepen {spec.name}, whose stages have {spec.depths}",
            f"{len(spec.depths)} depths, none of them smaller",
            _example(spec.depths),
        )
    if settled == spec.depths:
        raise InputError(
            f"depths={settled} to deepen {spec.name}, which are its own",
            "one more in some stage",
            _example(spec.depths),
        )
    return tuple(settled)


def _example(depths: tuple[int, ...]) -> str:
    return f"For example depths={(*depths[:-1], depths[-1] + 1)}: those that are there and the new ones together"


def _resnet_names(spec: ResNetSpec, depths: tuple[int, ...]) -> dict[str, str]:
    """Return old unit -> new unit. The unit that halves the resolution at a stage's end stays its last."""
    names = {}
    for stage, (old, new) in enumerate(zip(spec.depths, depths, strict=True), 1):
        for unit in range(old):
            last = spec.stride_site == "last_3x3" and stage < len(depths) and unit == old - 1
            names[f"layer{stage}.{unit}"] = f"layer{stage}.{new - 1 if last else unit}"
    return names


def _vgg_names(spec: VGGSpec, depths: tuple[int, ...]) -> dict[str, str]:
    """Return old layer -> new layer of `features`; pools have a place too."""
    size, names, old_at, new_at = 3 if spec.batch_norm else 2, {}, 0, 0
    for old, new in zip(spec.depths, depths, strict=True):
        for layer in range(size * old):
            names[f"features.{old_at + layer}"] = f"features.{new_at + layer}"
        old_at, new_at = old_at + size * old, new_at + size * new
        names[f"features.{old_at}"] = f"features.{new_at}"
        old_at, new_at = old_at + 1, new_at + 1
    return names


def _make_identity(unit: ResidualUnit, spec: Spec) -> None:
    """Set a unit's weights so that it returns its input; what the branch has before its last layer stays drawn."""
    convs, norms = ([getattr(unit, f"{kind}{at}") for at in range(1, unit.depth + 1)] for kind in ("conv", "bn"))
    order = getattr(spec, "activation", "post")
    if unit.plain:
        for layer in (*convs, *norms):
            _pass_on(layer)
        return
    if order in ("post", "relu_only_pre"):
        nn.init.zeros_(norms[-1].weight)
    else:
        nn.init.zeros_(convs[-1].weight)
    if order == "bn_after_add":
        _pass_on(norms[-1])
    if isinstance(unit.downsample, nn.Sequential):
        for layer in unit.downsample:
            _pass_on(layer)


def _pass_on(layer: nn.Module) -> None:
    """Make a convolution or a normalisation in evaluation mode the identity; other layers have no weights."""
    if isinstance(layer, nn.Conv2d):
        nn.init.dirac_(layer.weight, layer.groups)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
        mean, variance = layer.running_mean, layer.running_var
        if isinstance(mean, Tensor) and isinstance(variance, Tensor):
            mean.zero_()
            variance.fill_(1 - layer.eps)


def _refuse_units(spec: ResNetSpec, depths: tuple[int, ...]) -> None:
    """Refuse networks whose further units cannot be the identity, with the reason.

    Raises:
        InputError: there is a reason.
    """
    reason = _reason_with_shortcut(spec) or _reason_without_shortcut(spec)
    if reason is None and spec.stride_site == "last_3x3":
        # A stage of one unit changes channels and resolution in one: its two tasks cannot be taken apart.
        stages = [at for at, (old, new) in enumerate(zip(spec.depths, depths, strict=True), 1) if old == 1 < new]
        if stages and stages[0] < len(depths):
            reason = f"stage {stages[0]} has one unit, which both projects and halves the resolution"
    if reason:
        raise InputError(f"{spec.name} to deepen: {reason}", "units that can be the identity", "Deepen another network")


def _reason_with_shortcut(spec: ResNetSpec) -> str | None:
    """Return why a unit with a shortcut cannot be the identity and learn."""
    if spec.sharing != "none":
        return f"with sharing={spec.sharing!r}, a new unit has the weights of the others"
    if spec.shortcut == "none":
        return None
    if spec.gate == "constant" and spec.shortcut_scale != 1:
        return f"the shortcut is scaled by {spec.shortcut_scale:g}"
    if spec.gate not in ("none", "constant", "dropout"):
        return f"with gate={spec.gate!r} the shortcut is whole only where the gate is closed, and learns nothing there"
    if spec.activation == "relu_before_add":
        return "the branch ends in a ReLU, which at 0 passes no gradient: the new units would never learn"
    if spec.shortcut == "projection_all" and spec.activation == "full_pre" and spec.projection_input != "raw":
        return "every shortcut is a projection of the activated input, which has lost its negative values"
    return None


def _reason_without_shortcut(spec: ResNetSpec) -> str | None:
    """Return why a unit without a shortcut cannot be the identity."""
    if spec.shortcut != "none":
        return None
    if spec.activation in ("relu_only_pre", "full_pre"):
        return "without a shortcut, the ReLU at a unit's start cuts negative values, which its input has"
    if spec.se_ratio:
        return "without a shortcut, squeeze-and-excitation scales every channel by a factor below 1"
    if spec.unit == "bottleneck":
        for stage, width in enumerate(spec.widths):
            inner = spec.inner_width(stage) // spec.reduce_first
            if inner < width * spec.expansion:
                return (
                    f"without a shortcut, {inner} inner channels cannot carry the {width * spec.expansion} of its input"
                )
    return None
