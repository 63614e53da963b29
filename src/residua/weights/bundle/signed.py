"""The container of a bundle: a safetensors file that carries a document and a hash of its own bytes.

The header has one key, "residua": a JSON document. Its "sha256" is the hash of the whole file, computed with its own
digits read as zeros. Nothing in the file is ever unpickled or executed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import safetensors
import safetensors.torch
from torch import Tensor

from residua._base.errors import Damaged, InputError
from residua._base.json_file import mismatch, parse_json
from residua._base.run_files import FOLDS_FILE, MODEL_FILE

KEY, SCHEMA, MULTILABEL_SCHEMA, _UNSIGNED = "residua", 1, 2, "0" * 64
_LARGEST_HEADER = 100_000_000  # the limit of the safetensors format itself
_REMEDY = "Copy the run folder again from where it was trained, or train again"


class _Header(TypedDict):
    # A TypedDict declares keys as names: safetensors calls this one so.
    __metadata__: dict[str, str]


class _Document(TypedDict):
    spec: dict[str, Any]
    classes: list[Any]
    preprocess: dict[str, Any]
    metrics: dict[str, Any]
    data: dict[str, Any]
    recipe: dict[str, Any] | None
    versions: dict[str, Any]
    weights_sha256: str
    # The first bundles lack these.
    initial_weights: NotRequired[dict[str, Any] | None]
    calibration: NotRequired[dict[str, Any] | None]
    multilabel: NotRequired[dict[str, Any]]


def read_signed(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the document in a bundle's header and its tensors, after checking the hash of the whole file.

    Raises:
        InputError: no bundle there; a byte differs from what was written; the file is truncated or is something
            else, such as a renamed pickle; a field of the document is missing or of the wrong type.
    """
    content = _read(path)
    document = _verified(path, content)
    try:
        return document, safetensors.torch.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path} cannot be read: {error}", "a whole safetensors file", _REMEDY) from error


def write_signed(path: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write tensors with a document and sign it: its "sha256" becomes the hash of the whole file."""
    # One key only: with two, safetensors writes them in an order of its own. The hash first, before all of a user's
    # that looks like one. In ASCII: the format takes UTF-8 alone; a class may be named after a folder in Latin-1.
    text = json.dumps({"sha256": _UNSIGNED} | {**document, "sha256": _UNSIGNED}, allow_nan=False)
    safetensors.torch.save_file(dict(tensors), path, metadata={KEY: text})
    _sign(path)


def is_bundle(path: Path) -> bool:
    """Return whether a file is safetensors with our own header, damaged or not; false for what cannot be read."""
    try:
        with safetensors.safe_open(path, "pt") as stored:
            metadata = stored.metadata() or {}
            return KEY in metadata or any("weights_sha256" in text for text in metadata.values())
    except (OSError, safetensors.SafetensorError):
        return False


def _read(path: Path) -> bytes:
    """Return the file's bytes, its kind and its length checked first."""
    if not path.is_file() and (path.parent / FOLDS_FILE).is_file():
        raise InputError(
            f"{path.parent}, which holds a run per fold",
            "one run; evaluate and predict take all folds, as an ensemble",
            f"Name one of them: {path.parent / 'fold-1'}",
        )
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
        document = parse_json(parse_json(header, _Header, path)["__metadata__"][KEY], dict[str, Any], path)
        stored, schema = document["sha256"], document["schema"]
    except (Damaged, KeyError) as error:
        plain = b'"' + KEY.encode() + b'"' not in header
        raise InputError(
            f"{path} is no Residua bundle" if plain else f"{path} is damaged: its header cannot be read",
            "weights with spec, classes and preprocessing in the header, as `residua train` writes them",
            "Convert bare weights to a run: residua convert FILE --model MODEL --out RUN; or load them with "
            "create_model(NAME, weights=FILE)"
            if plain
            else _REMEDY,
        ) from error
    offset = header.find(str(stored).encode())
    if len(str(stored)) != 64 or offset < 0:
        raise InputError(f"{path} is damaged: its hash cannot be read", "a whole bundle", _REMEDY)
    if _hash_unsigned(content, 8 + offset) != stored:
        raise InputError(
            f"{path} is damaged: its bytes do not give the SHA-256 that was written with them",
            f"{stored[:16]}… over {len(content)} bytes",
            _REMEDY,
        )
    if schema not in (SCHEMA, MULTILABEL_SCHEMA) or (schema == MULTILABEL_SCHEMA) != ("multilabel" in document):
        raise InputError(
            f"{path} has layout {schema!r}",
            f"layout {SCHEMA}, or {MULTILABEL_SCHEMA} with several labels an image",
            "Install the Residua version that wrote it",
        )
    if problem := mismatch(document, _Document):
        raise InputError(f"{path}, of which {problem} in the header", "the header that Residua writes", _REMEDY)
    return document


def _sign(path: Path) -> None:
    """Replace the zeros in the header by the hash of the file that has them."""
    content = path.read_bytes()
    offset = content.index(_UNSIGNED.encode())
    digest = _hash_unsigned(content, offset)
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(digest.encode())


def _hash_unsigned(content: bytes, offset: int) -> str:
    view = memoryview(content)
    digest = hashlib.sha256(view[:offset])
    digest.update(_UNSIGNED.encode())
    digest.update(view[offset + 64 :])
    return digest.hexdigest()
