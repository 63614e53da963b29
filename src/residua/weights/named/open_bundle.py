"""Whatever a name of weights leads to, as a bundle: a run folder's own, or one made of published weights."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from residua._base.errors import InputError
from residua._base.files import check_name
from residua._base.public import public_address, public_name
from residua._base.run_files import CONFIG_FILE, MODEL_FILE
from residua.families.sizes import spec_for
from residua.specs.schema import Spec
from residua.weights.bundle.read import read_bundle
from residua.weights.bundle.signed import is_bundle
from residua.weights.bundle.value import Bundle, hash_tensors
from residua.weights.class_names import class_names
from residua.weights.identity import Target
from residua.weights.named.kept_weights import is_kept, read_kept
from residua.weights.named.locate import HUB_FILES, is_remote
from residua.weights.named.resolve import Weights, resolve
from residua.weights.rgb import for_rgb, luma_of
from residua.weights.sources.read_source import trained_on


def open_bundle(name: Path | str, model: str | Spec | None = None) -> tuple[Bundle, dict[str, Tensor]]:
    """Open a run folder or weights by name; the arguments and errors are those of `residua.load`.

    A network for grey images is turned into the same network for colour images, see `for_rgb`.

    Returns:
        The bundle and its state dict, on the CPU.
    """
    bundle, tensors = _opened(name, model)
    if bundle.spec.in_channels == 3:
        return bundle, tensors
    spec, tensors, _ = for_rgb(public_address(str(name)), bundle.spec, tensors)
    seen = luma_of(bundle.preprocess)
    return replace(bundle, spec=spec, preprocess=seen, weights_sha256=hash_tensors(tensors)), tensors


def _opened(name: Path | str, model: str | Spec | None) -> tuple[Bundle, dict[str, Tensor]]:
    check_name("run", name)
    if model is None and not is_published(name):
        return read_kept(name) if is_kept(name) else read_bundle(name)
    weights = resolve(name, None if model is None else Target.of(model))
    if weights.bundle is not None:
        return replace(weights.bundle, spec=weights.identity.opened), weights.tensors
    return _published(weights), weights.tensors


def is_published(name: Path | str) -> bool:
    """Return whether a name is an address or a folder in the Hub's layout, and so no run's folder or bundle."""
    if is_remote(name):
        return True
    path = Path(name)
    held = [path / file for file in HUB_FILES if (path / file).is_file()]
    return bool(held) and (path / CONFIG_FILE).is_file() and not is_bundle(path / MODEL_FILE)


def _published(weights: Weights) -> Bundle:
    located, known = weights.located, weights.provenance
    if weights.multilabel:
        # It states no thresholds, and a bundle without them is of one label an image.
        raise InputError(
            f"{public_name(located.name)}, whose config.json states problem_type 'multi_label_classification'",
            "weights whose classes exclude each other: a softmax over these logits would answer wrongly",
            "Fine-tune them on a table of several labels: that replaces the classifier",
        )
    if weights.assumed:
        warnings.warn(f"{public_name(located.name)}: {weights.assumed}", stacklevel=2)
    if not weights.preprocess.is_square:
        height, width = weights.preprocess.height, weights.preprocess.width
        warnings.warn(
            f"{public_name(located.name)}: images are prepared at {height} × {width} pixels (height × width), as its "
            "input_size declares",
            stacklevel=2,
        )
    spec = spec_for(weights.identity.opened, weights.preprocess)
    names, assumed_names = class_names(weights.classes or None, spec.num_classes, trained_on(spec, known.source))
    notes = [*known.notes, *filter(None, (assumed_names,))]
    return Bundle(
        located.path.parent,
        spec,
        names,
        weights.preprocess,
        data={"notes": notes} if notes else {},
        initial_weights={"given": known.given, "sha256": known.sha256},
        weights_sha256=hash_tensors(weights.tensors),
    )
