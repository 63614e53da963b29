"""Write a run in the Hub's layout, with a model card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from residua._base.files import write_text
from residua._base.public import public_name
from residua.data.dataset import public_description
from residua.specs.multilabel import LabelThresholds
from residua.weights.bundle.value import Bundle, hash_tensors, versions
from residua.weights.bundle.write import write_bundle
from residua.weights.model_card import model_card

_CARD = "README.md"


def publish(model: nn.Module, bundle: Bundle, folder: Path) -> Path:
    """Write a run's network, as it is now, in the Hub's layout; see `Run.save_pretrained`."""
    tensors = model.state_dict()
    if folder.resolve() != bundle.folder.resolve():
        bundle = _public_bundle(bundle)
    weights_sha256 = hash_tensors(tensors)
    if weights_sha256 != bundle.weights_sha256:
        # A calibration holds for the weights that it was fitted for, and for no others; so do thresholds.
        thresholds = LabelThresholds.even(len(bundle.classes)) if bundle.multilabel else None
        bundle = replace(bundle, calibration=None, multilabel=thresholds, weights_sha256=weights_sha256)
    write_bundle(folder, bundle, tensors)
    if not (folder / _CARD).exists():
        parameters = sum(parameter.numel() for parameter in model.parameters())
        write_text(folder / _CARD, model_card(replace(bundle, versions=versions()), parameters))
    return folder


def _public_bundle(bundle: Bundle) -> Bundle:
    """Return a bundle, which an older version may have written, without places on this machine."""
    initial = bundle.initial_weights
    if initial is not None:
        initial = initial | {"given": public_name(str(initial.get("given", "")))}
    return replace(bundle, data=public_description(bundle.data), initial_weights=initial)
