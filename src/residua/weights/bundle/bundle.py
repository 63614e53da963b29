"""The bundle: weights and all that is needed to use them, in one file that is checked before it is believed.

`model.safetensors` carries in its header, under the key "residua", the spec, the class names in order, the
preprocessing, metrics, data, recipe, versions and a SHA-256 of the whole file (its own digits read as zeros).
Nothing in it is ever unpickled or executed.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from residua import __version__
from residua._base.errors import InputError
from residua._base.files import atomic_path, write_text
from residua._base.plain import plain
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec, from_json, to_json
from residua.weights.bundle.config import config_of
from residua.weights.state_diff import mismatches

MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.json"
KEY, _SCHEMA, _UNSIGNED = "residua", 1, "0" * 64
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "spec": dict,
    "classes": list,
    "preprocess": dict,
    "metrics": dict,
    "data": dict,
    "recipe": (dict, type(None)),
    "versions": dict,
    "weights_sha256": str,
}
_LARGEST_HEADER = 100_000_000  # the limit of the safetensors format itself
_REMEDY = "Copy the run folder again from where it was trained, or train again"


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and found whole.

    Attributes:
        folder: the run folder.
        spec: the network's spec.
        classes: names in the order of the logits.
        preprocess: the evaluation transform.
        metrics: as saved by the training run.
        data: the description of the data set that it was trained on.
        recipe: the complete recipe, or None.
        initial_weights: `given` and `sha256` of the weights that the training began with, or None.
        calibration: `temperature` of its probabilities and how it was fitted, or None; see `amend.store_calibration`.
        versions: of Residua, torch and Python when it was written.
        weights_sha256: of the tensors alone (names, types, shapes, bytes): equal for equal weights.
        tensors: the state dict, on the CPU.
    """

    folder: Path
    spec: Spec
    classes: tuple[str, ...]
    preprocess: PreprocessSpec
    metrics: dict[str, Any]
    data: dict[str, Any]
    recipe: dict[str, Any] | None
    initial_weights: dict[str, Any] | None
    calibration: dict[str, Any] | None
    versions: dict[str, str]
    weights_sha256: str
    tensors: dict[str, Tensor]


def save_bundle(
    folder: Path | str,
    *,
    tensors: Mapping[str, Tensor],
    spec: Spec,
    classes: Sequence[str],
    preprocess: PreprocessSpec,
    metrics: Mapping[str, Any],
    data: Mapping[str, Any],
    recipe: Mapping[str, Any] | None = None,
    initial_weights: Mapping[str, Any] | None = None,
    calibration: Mapping[str, Any] | None = None,
) -> Path:
    """Write `model.safetensors` and `config.json` into `folder` and return the former's path.

    Each file is written beside, synced and renamed. The same arguments give the same bytes. Numbers that JSON
    lacks (NaN, infinity) in `metrics`, `data` and `recipe` are stored as null.

    Raises:
        InputError: the tensors or the class names do not fit the spec; every mismatch is listed.
    """
    folder = Path(folder)
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    _refuse_mismatches(folder, spec, classes, state)
    document = {
        "schema": _SCHEMA,
        "spec": to_json(spec),
        "classes": [str(name) for name in classes],
        "preprocess": asdict(preprocess),
        "metrics": plain(metrics),
        "data": plain(data),
        "recipe": None if recipe is None else plain(recipe),
        "initial_weights": None if initial_weights is None else plain(initial_weights),
        "versions": versions(),
        "weights_sha256": hash_tensors(state),
    }
    if calibration is not None:
        document["calibration"] = plain(calibration)
    path = folder / MODEL_FILE
    config = json.dumps(config_of(spec, document["classes"], preprocess), indent=2, ensure_ascii=False)
    with atomic_path(path) as beside:
        write_signed(beside, state, document)
        # Before the model's rename: a folder that holds model.safetensors is complete.
        write_text(folder / CONFIG_FILE, config + "\n")
    return path


def load_bundle(folder: Path | str) -> Bundle:
    """Read a run folder (or its model.safetensors), believing nothing that was not checked.

    Raises:
        InputError: no bundle there; a byte differs from what was written; the file is truncated or is
            something else, such as a renamed pickle; tensors, classes and spec do not fit each other;
            config.json disagrees. The message says which, and lists every mismatch.
    """
    folder = Path(folder)
    path = folder / MODEL_FILE if not folder.is_file() else folder
    folder = path.parent
    document, tensors = read_signed(path)
    try:
        spec = from_json(document["spec"])
        preprocess = PreprocessSpec(**document["preprocess"])
    except (InputError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path} holds a network or a preprocessing that this Residua cannot build: {error}",
            f"a bundle that Residua {__version__} knows",
            f"It was written by Residua {document['versions'].get('residua', '?')}: install that version",
        ) from error
    classes = tuple(str(name) for name in document["classes"])
    _refuse_mismatches(folder, spec, classes, tensors)
    check_config(folder / CONFIG_FILE, config_of(spec, classes, preprocess))
    return Bundle(
        folder=folder,
        spec=spec,
        classes=classes,
        preprocess=preprocess,
        metrics=document["metrics"],
        data=document["data"],
        recipe=document["recipe"],
        initial_weights=document.get("initial_weights"),  # earlier bundles lack these two
        calibration=document.get("calibration"),
        versions=document["versions"],
        weights_sha256=document["weights_sha256"],
        tensors=tensors,
    )


def read_signed(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the document in a bundle's header and its tensors, after checking the hash of the whole file.

    Raises:
        InputError: as `load_bundle`, but for the parts that may not fit each other.
    """
    content = _read(path)
    document = _verified(path, content)
    try:
        return document, safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read: {error}", "a whole safetensors file", _REMEDY) from error


def write_signed(path: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write tensors with a document that is signed anew: its "sha256" becomes the hash of the whole file."""
    # One key only: with two, safetensors writes them in an order of its own. The hash first, before all of a user's
    # that looks like one. In ASCII: the format takes UTF-8 alone; a class may be named after a folder in Latin-1.
    text = json.dumps({"sha256": _UNSIGNED} | {**document, "sha256": _UNSIGNED}, allow_nan=False)
    safetensors.torch.save_file(dict(tensors), path, metadata={KEY: text})
    _sign(path)


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a state dict: names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    return {"residua": __version__, "torch": torch.__version__, "python": platform.python_version()}


def _read(path: Path) -> bytes:
    """Return the file's bytes, its kind and its length checked first."""
    if not path.is_file():
        raise InputError(
            f"{path.parent} holds no {MODEL_FILE}",
            "a run folder, as written by `residua train DATA --out RUN`",
            "Check the path; a run that is still training has only checkpoints",
        )
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(8)
            length = int.from_bytes(start, "little")
            if len(start) == 8 and length <= min(size - 8, _LARGEST_HEADER):
                stream.seek(0)
                return stream.read()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "a readable file", _REMEDY) from error
    # Only now: the length of a header may begin like a pickle.
    if start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":
        raise InputError(
            f"{path} is a pickle under another name",
            "a safetensors file; nothing in this one was executed",
            "If you trust its source, save its tensors as safetensors",
        )
    raise InputError(f"{path} is truncated, or no safetensors file ({size} bytes)", "a whole safetensors file", _REMEDY)


def _verified(path: Path, content: bytes) -> dict[str, Any]:
    """Return the document in the header, after checking the hash of the whole file against it."""
    header = content[8 : 8 + int.from_bytes(content[:8], "little")]
    try:
        metadata = json.loads(header)["__metadata__"][KEY]
        document = json.loads(metadata)
        stored = document["sha256"]
        schema = document["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        plain = b'"' + KEY.encode() + b'"' not in header
        raise InputError(
            f"{path} is no Residua bundle" if plain else f"{path} is damaged: its header cannot be read",
            "weights with spec, classes and preprocessing in the header, as `residua train` writes them",
            "Load bare weights with create_model(NAME, weights=PATH)" if plain else _REMEDY,
        ) from error
    place = header.find(str(stored).encode())
    if len(str(stored)) != 64 or place < 0:
        raise InputError(f"{path} is damaged: its hash cannot be read", "a whole bundle", _REMEDY)
    if _hash_unsigned(content, 8 + place) != stored:
        raise InputError(
            f"{path} is damaged: its bytes do not give the SHA-256 that was written with them",
            f"{stored[:16]}… over {len(content)} bytes",
            _REMEDY,
        )
    fits = all(isinstance(document.get(name), kind) for name, kind in _FIELDS.items())
    if schema != _SCHEMA or not fits or not is_temperature(document.get("calibration")):
        raise InputError(
            f"{path} has layout {schema!r}", f"layout {_SCHEMA}", "Install the Residua version that wrote it"
        )
    assert isinstance(document, dict)
    return document


def is_temperature(calibration: Any) -> bool:
    """Whether a calibration is none, or one that probabilities can be divided by."""
    if not isinstance(calibration, dict):
        return calibration is None
    value = calibration.get("temperature")
    return isinstance(value, float) and 0 < value < math.inf


def _sign(path: Path) -> None:
    """Replace the zeros in the header by the hash of the file that has them."""
    content = path.read_bytes()
    place = content.index(_UNSIGNED.encode())
    digest = _hash_unsigned(content, place)
    with path.open("r+b") as stream:
        stream.seek(place)
        stream.write(digest.encode())


def _hash_unsigned(content: bytes, place: int) -> str:
    view = memoryview(content)
    digest = hashlib.sha256(view[:place])
    digest.update(_UNSIGNED.encode())
    digest.update(view[place + 64 :])
    return digest.hexdigest()


def _refuse_mismatches(folder: Path, spec: Spec, classes: Sequence[str], tensors: Mapping[str, Tensor]) -> None:
    problems = []
    if len(classes) != spec.num_classes:
        problems.append(f"{len(classes)} class names for the {spec.num_classes} outputs of {spec.name}")
    if len(set(classes)) != len(classes):
        problems.append("class names that are not distinct")
    problems += mismatches(spec, tensors)
    if problems:
        raise InputError(
            f"{folder}: the parts do not fit each other: {'; '.join(problems)}",
            f"the weights of {spec.name} with {spec.num_classes} classes",
            "Use the spec and the classes that the weights were trained with",
        )


def check_config(path: Path, wanted: dict[str, Any]) -> None:
    """Compare a config.json with what the bundle beside it says.

    Raises:
        InputError: they disagree; every difference is named.
    """
    if not path.exists():
        return
    spare = f"Restore either file; {CONFIG_FILE} may be deleted: it repeats what {MODEL_FILE} says"
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read: {error}", f"the file that was written with {MODEL_FILE}", spare
        ) from error
    differing = [
        f"{where} is {_short(found)} here and {_short(value)} in {MODEL_FILE}"
        for where, found, value in _differences(given, wanted)
    ]
    if differing:
        raise InputError(
            f"{path} disagrees with the weights beside it: {'; '.join(differing)}",
            "the config.json that was written with them",
            spare,
        )


def _differences(given: Any, wanted: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any, Any]]:
    """List (key, given, wanted) where they differ; keys that only `given` has are somebody's additions."""
    found = []
    for key, value in wanted.items():
        other = given.get(key) if isinstance(given, dict) else None
        if isinstance(value, Mapping):
            found += _differences(other, value, f"{prefix}{key}.")
        elif other != value:
            found.append((prefix + key, other, value))
    return found


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
