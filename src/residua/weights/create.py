"""`create_model`: a network by name, with its ends edited and, where asked for, its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from residua.families.build import build, spec_of
from residua.families.network import Classifier
from residua.specs.schema import Spec


def create_model(
    model: str | Spec,
    num_classes: int | None = None,
    in_channels: int | None = None,
    weights: str | Path | None = None,
    **spec_edits: Any,
) -> Classifier:
    """Build a network of the catalog.

    Args:
        model: a name (`residua models` lists them) or a spec.
        num_classes: outputs; None keeps the network's own. With weights of another number, the classifier starts
            anew, auxiliary ones too, and everything else must fit.
        in_channels: channels of the input image; None keeps the network's own. With weights of another number, the
            first kernel is fitted so that an image whose channels are alike gives what it gave.
        weights: "torchvision:IMAGENET1K_V2", "timm:TAG", "hf://ORG/REPO", "https://…#sha256=HEX", a file, or a run
            folder; other people's names are translated. Fetched once, checked by hash, read without executing
            anything. None: fresh ones, drawn from torch's global generator.
        spec_edits: fields of the spec to change, such as `shortcut="none"` or `dropout=0.3`.

    Returns:
        A network in training mode, (B, in_channels, H, W) -> logits (B, num_classes), with its spec as `.spec` and,
        where weights were given, what is known of them as `.provenance`: their hash, the preprocessing that they
        were trained for, the tensors that were drawn anew.

    Raises:
        InputError: unknown name or field, or weights that cannot be had or do not fit (every difference is listed).
    """
    network = build(spec_of(model, num_classes, in_channels, **spec_edits))
    if weights is not None:
        from residua.weights.resolve import resolve
        from residua.weights.transfer import load_weights

        load_weights(
            network,
            resolve(weights, network.spec),
            new_classifier=num_classes is not None,
            new_input=in_channels is not None,
        )
    return network
