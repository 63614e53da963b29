"""config.json of a run: timm's local-dir layout, so that timm opens the networks that it has too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from residua._base.errors import Damaged, InputError
from residua._base.json_file import read_json
from residua._base.run_files import CONFIG_FILE, MODEL_FILE
from residua.families.members import classifier_tensors, input_tensors
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.bundle.value import Bundle
from residua.weights.identity import counterpart
from residua.weights.peers.same_network import OURS

OWN = "residua"  # key of the fields that timm's form lacks
_OF_TIMM = {"image_size", "resize", "interpolation", "mean", "std", "crop_mode"}


def timm_name(spec: Spec, preprocess: PreprocessSpec | None = None) -> str | None:
    """Return timm's name of the network whose graph and state-dict keys are ours, or None when timm has none.

    None too where timm could not prepare its images: it knows no numbers for each pixel or each image.
    """
    if preprocess is not None and preprocess.to_json().keys() - _OF_TIMM:
        return None
    peer = counterpart(spec, "timm").same_state
    return None if peer is None else peer.name


def _ends(spec: Spec) -> tuple[str, str]:
    """Return the modules that depend on the image's channels and on the number of classes."""
    # Of a network without a classifier: where it would stand, as timm has it.
    first, last = input_tensors(spec)[0], classifier_tensors(spec.edit(num_classes=max(1, spec.num_classes)))[-1]
    return first.rpartition(".")[0], last.rpartition(".")[0]


def config_of(bundle: Bundle) -> dict[str, Any]:
    """Return the content of config.json: derived from the bundle, read by timm and by people."""
    spec, classes, preprocess = bundle.spec, bundle.classes, bundle.preprocess
    peer = timm_name(spec, preprocess)
    own = {key: value for key, value in preprocess.to_json().items() if key not in _OF_TIMM}
    first, last = _ends(spec) if peer else (None, None)
    return {
        "architecture": peer or f"{OURS}{spec.name}",
        "library_name": "timm" if peer else "residua",
        "num_classes": len(classes),
        "label_names": list(classes),
        # As Hugging Face's configurations state it.
        **({"problem_type": "multi_label_classification"} if bundle.multilabel else {}),
        "pretrained_cfg": {
            "input_size": [spec.in_channels, *preprocess.size],
            "fixed_input_size": False,
            "interpolation": preprocess.interpolation,
            "crop_pct": preprocess.crop_share,
            "crop_mode": preprocess.crop_mode,
            "mean": list(preprocess.mean),
            "std": list(preprocess.std),
            "num_classes": len(classes),
            "first_conv": first,
            "classifier": last,
            "pool_size": None,
            **({OWN: own} if own else {}),
        },
    }


def check_config(path: Path, bundle: Bundle) -> None:
    """Compare a config.json with the bundle beside it; a missing file agrees.

    Raises:
        InputError: they disagree; lists every difference.
    """
    if not path.exists():
        return
    spare = f"Restore either file; {CONFIG_FILE} may be deleted: it repeats what stands in {MODEL_FILE}"
    try:
        config = read_json(path, dict)
    except Damaged as error:
        raise InputError(
            f"{path} cannot be read: {error.reason}", f"the file that was written with {MODEL_FILE}", spare
        ) from error
    differing = [
        f"{where} is {_short(stated)} here and {_short(value)} in {MODEL_FILE}"
        for where, stated, value in _differences(config, config_of(bundle))
    ]
    if differing:
        raise InputError(
            f"{path} disagrees with the weights beside it: {'; '.join(differing)}",
            "the config.json that was written with them",
            spare,
        )


def _differences(config: Any, wanted: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any, Any]]:
    """List (key, stated, wanted) where they differ; keys that only `config` has are somebody's additions."""
    differing = []
    for key, value in wanted.items():
        other = config.get(key) if isinstance(config, dict) else None
        if isinstance(value, Mapping):
            differing += _differences(other, value, f"{prefix}{key}.")
        elif other != value:
            differing.append((prefix + key, other, value))
    return differing


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
