"""Weights of one network in another whose ends differ: a new classifier, another number of image channels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from residua._base.errors import InputError
from residua._base.words import some
from residua.families.members import classifier_tensors, input_tensors, state_shapes
from residua.families.network import Classifier
from residua.specs.provenance import Provenance
from residua.specs.schema import Spec
from residua.weights.named.resolve import Weights
from residua.weights.rgb import spread_over_rgb
from residua.weights.state_diff import differences


def load_weights(
    network: Classifier,
    weights: Weights,
    *,
    new_classifier: bool = False,
    new_input: bool = False,
    other_classes: bool = False,
) -> Provenance:
    """Load weights into the network that was decided on for them, all of them or nothing; see `fitted`.

    Returns:
        What was loaded, also kept as `network.provenance`.

    Raises:
        InputError: a network other than `weights.identity.network`; as `fitted`. The network is unchanged.
    """
    weights.identity.require(network.spec)
    tensors, provenance = fitted(
        weights, new_classifier=new_classifier, new_input=new_input, other_classes=other_classes
    )
    network.load_state_dict(tensors, strict=False)
    network.provenance = provenance
    return provenance


def fitted(
    weights: Weights, *, new_classifier: bool = False, new_input: bool = False, other_classes: bool = False
) -> tuple[dict[str, Tensor], Provenance]:
    """Return the tensors that `weights.identity.network` takes from `weights`, and what was done to them.

    Args:
        weights: what `resolve` returned.
        new_classifier: another number of classes is meant: the tensors of the classifier, and of auxiliary ones,
            are left to the network; every other tensor must fit.
        new_input: another number of channels is meant: the first kernel is fitted, see `fit_channels`.
        other_classes: the classes differ even where their number is the same: the classifier is left out.

    Raises:
        InputError: tensors that do not fit: all are named.
    """
    spec, theirs = weights.identity.network, weights.spec
    tensors = dict(weights.tensors)
    fresh: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()
    notes = weights.provenance.notes
    if theirs.num_classes and not spec.num_classes:
        kept = state_shapes(theirs.edit(num_classes=0))
        left = [name for name in state_shapes(theirs) if name in tensors and name not in kept]
        tensors = {name: tensor for name, tensor in tensors.items() if name in kept}
        notes += (f"The classifier was left out: {some(left, 6)}.",) if left else ()
    elif new_classifier and (other_classes or weights.headless or theirs.num_classes != spec.num_classes):
        fresh = classifier_tensors(spec)
        for name in fresh:
            tensors.pop(name, None)
    if new_input and theirs.in_channels != spec.in_channels:
        # Without a stem the input's channels are those of a stage, and its norms depend on them too.
        adapted = tuple(name for name in input_tensors(spec) if name in tensors and tensors[name].ndim > 1)
        for name in adapted:
            tensors[name] = fit_channels(tensors[name], theirs.in_channels, spec.in_channels)
    if not getattr(spec, "aux_heads", True) and getattr(theirs, "aux_heads", False):
        kept = state_shapes(theirs.edit(aux_heads=False))
        tensors = {name: tensor for name, tensor in tensors.items() if name in kept}
    wanted = {name: tensor for name, tensor in state_shapes(spec).items() if name not in fresh}
    if problems := differences(wanted, tensors):
        raise InputError(
            f"{weights.located.name} does not fit this {spec.name}: {'; '.join(problems)}",
            "the weights of the same network with the same number of classes and channels",
            _remedy(spec, theirs, new_classifier, new_input),
        )
    return tensors, replace(weights.provenance, fresh=fresh, adapted=adapted, notes=notes)


def fit_channels(kernel: Tensor, channels: int, wanted: int) -> Tensor:
    """Fit a kernel over `channels` channels to `wanted`, so that an image whose channels are alike gives what it gave.

    To one channel: the sum over the old ones. To fewer: each the sum divided by their number. From one to three: in the
    shares of luma, see `spread_over_rgb`. To more: the old ones in turn (R, G, B, R, …), each divided by how often it
    occurs. At a multiple of three that is 3/n.

    Shapes: (C_out, channels, kh, kw) -> (C_out, wanted, kh, kw). Of a linear layer that reads the image channel by
    channel: (C_out, channels · k) -> (C_out, wanted · k).
    """
    if (channels, wanted) == (1, 3):
        return spread_over_rgb(kernel)
    old = kernel.detach().reshape(len(kernel), channels, -1).double()
    if wanted < channels:
        new = old.sum(1, keepdim=True).expand(-1, wanted, -1) / wanted
    else:
        turns = torch.arange(wanted) % channels
        new = old[:, turns] / torch.bincount(turns)[turns].view(1, -1, 1)
    shape = (len(kernel), wanted, *kernel.shape[2:]) if kernel.ndim > 2 else (len(kernel), -1)
    return new.to(kernel.dtype).reshape(shape).contiguous()


def _remedy(spec: Spec, theirs: Spec, new_classifier: bool, new_input: bool) -> str:
    if not theirs.num_classes and not new_classifier:
        return "Give num_classes=N for a new classifier: these weights have none"
    if theirs.num_classes != spec.num_classes and not new_classifier:
        return (
            f"Give num_classes={spec.num_classes} for a new classifier, or num_classes={theirs.num_classes} to keep it"
        )
    if theirs.in_channels != spec.in_channels and not new_input:
        return f"Give in_channels={spec.in_channels} to fit the first kernel to so many channels"
    if getattr(spec, "aux_heads", False) and not getattr(theirs, "aux_heads", False):
        return "Give aux_heads=False: these weights have no auxiliary classifiers"
    return "Build the network that the weights are of (its name and edits)"
