"""`create_model`: a network by name, with its ends edited and, where asked for, its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from residua.families.build import build, spec_of
from residua.specs.schema import Spec


def create_model(
    model: str | Spec,
    num_classes: int | None = None,
    in_channels: int | None = None,
    weights: str | Path | None = None,
    **spec_edits: Any,
) -> nn.Module:
    """Build a network of the catalog.

    Args:
        model: a name (`residua models` lists them) or a spec.
        num_classes: outputs; None keeps the network's own.
        in_channels: channels of the input image; None keeps the network's own.
        weights: a file of weights under our own (torchvision's) names, or a run folder; None: fresh ones, drawn from
            torch's global generator.
        spec_edits: fields of the spec to change, such as `shortcut="none"` or `dropout=0.3`.

    Returns:
        A network in training mode, (B, in_channels, H, W) -> logits (B, num_classes), with its spec as `.spec`.

    Raises:
        InputError: unknown name or field, or weights that do not fit (every difference is listed).
    """
    network = build(spec_of(model, num_classes, in_channels, **spec_edits))
    if weights is not None:
        from residua.weights.load import load_state

        load_state(network, Path(weights))
    return network
