"""`create_model`: a network by name, with its ends edited and, where asked for, its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from residua._base.errors import InputError
from residua.families.backbone import Backbone
from residua.families.build import build
from residua.families.network import Classifier
from residua.specs.schema import OWN, Own, Spec
from residua.weights.identity import Target


@overload
def create_model(
    model: str | Spec,
    num_classes: int | Own | None = OWN,
    in_channels: int | None = None,
    weights: str | Path | None = None,
    *,
    features_only: Literal[False] = False,
    **spec_edits: Any,
) -> Classifier: ...
@overload
def create_model(
    model: str | Spec,
    num_classes: int | Own | None = OWN,
    in_channels: int | None = None,
    weights: str | Path | None = None,
    *,
    features_only: Literal[True],
    out_indices: int | Sequence[int] | None = None,
    names: Sequence[str] | Mapping[str, str] | None = None,
    **spec_edits: Any,
) -> Backbone: ...
def create_model(
    model: str | Spec,
    num_classes: int | Own | None = OWN,
    in_channels: int | None = None,
    weights: str | Path | None = None,
    *,
    features_only: bool = False,
    out_indices: int | Sequence[int] | None = None,
    names: Sequence[str] | Mapping[str, str] | None = None,
    **spec_edits: Any,
) -> Classifier | Backbone:
    """Build a network of the catalog.

    Args:
        model: a name (`residua models` lists them) or a spec.
        num_classes: outputs; left out, the network's own. With weights of a different number, all classifiers are
            newly drawn, and everything else must fit. 0 or None: no classifier; the pooled features come out,
            (B, 2048) of a ResNet-50, and `.provenance` names the tensors of the weights that were left out.
        in_channels: channels of the input image; None keeps the network's own. With weights of another number, the
            first kernel is fitted so that an image whose channels are alike gives what it gave.
        weights: "torchvision:IMAGENET1K_V2", "timm:TAG", "hf://ORG/REPO", "https://…#sha256=HEX", a file, or a run
            folder; other people's names are translated. Fetched once, checked by hash, read without executing
            anything. A network asked for by name takes the form that they have, in the fields that no edit sets; it is
            noted in `.provenance`. None: fresh ones, drawn from torch's global generator.
        features_only: return the network without its head as a `Backbone` of feature maps, for detection and
            segmentation. Weights load as for the whole network.
        out_indices: with features_only, which of its maps, one a stride, counted from 0; None: all.
        names: with features_only, end points to return instead, or a mapping from end points to the keys under which
            they are returned: {"layer3": "aux", "layer4": "out"}.
        spec_edits: fields of the spec to change, such as `shortcut="none"`, `dropout=0.3` or `output_stride=8`.

    Returns:
        A network in training mode, (B, in_channels, H, W) -> logits (B, num_classes), with its spec as `.spec` and,
        where weights were given, what is known of them as `.provenance`: their hash, the preprocessing that they
        were trained for, the tensors that were newly drawn. With features_only a `Backbone`: image -> ordered mapping
        of feature maps, with `.channels` and `.strides` of each.

    Raises:
        InputError: unknown name or field, weights that cannot be had or do not fit (every difference is listed), or
            maps that the network does not have.
    """
    if not features_only and not (out_indices is None and names is None):
        raise InputError(
            f"out_indices={out_indices}, names={names} without features_only",
            "features_only=True, which returns feature maps",
            "Add features_only=True",
        )
    target = Target.of(model, num_classes, in_channels, **spec_edits)
    if weights is None:
        network = build(target.spec)
    else:
        from residua.weights.named.resolve import resolve
        from residua.weights.named.transfer import load_weights

        resolved = resolve(weights, target, new_classifier=num_classes is not OWN)
        network = build(resolved.identity.network)
        load_weights(network, resolved, new_classifier=num_classes is not OWN, new_input=in_channels is not None)
    return Backbone(network, out_indices, names) if features_only else network
