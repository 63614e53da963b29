"""The certificate of an export: how far its files can be trusted, signed with a hash of its own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypedDict, cast

from residua._base.errors import Damaged
from residua._base.files import sha256_file
from residua._base.json_file import read_json
from residua._base.plain import plain
from residua.exporting.gate import Step, Verdict
from residua.exporting.names import CERTIFICATE, ExportPrecision, FormatName
from residua.exporting.proof import ProofRow
from residua.runtime.environment import environment
from residua.runtime.processor import processor

SCHEMA = 1
_PACKAGES = ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf")
_FLAGS = ("avx", "amx", "fma", "f16c", "sse4", "asimd", "bf16", "i8mm", "sve")


class StoredFile(TypedDict):
    """A file of an export.

    Attributes:
        sha256: of its bytes.
        bytes: its size.
    """

    sha256: str
    bytes: int


class StoredRun(TypedDict):
    """The run that was exported.

    Attributes:
        name: of its folder.
        model: the name of its network.
        weights_sha256: of its tensors.
        temperature: what its logits are divided by.
        preprocess: the evaluation transform.
    """

    name: str
    model: str
    weights_sha256: str
    temperature: float
    preprocess: dict[str, Any]


@dataclass(frozen=True)
class Certificate:
    """What an export is, and what running it beside eager showed.

    Attributes:
        run: the run that was exported.
        format: "onnx", "openvino" or "torch".
        precision: of the export.
        with_preprocessing: whether it takes pixels and gives probabilities.
        max_drop: the loss of top-1 that int8 may have, a fraction of 1; None for other precisions.
        conversion: how the graph was made, sentences.
        files: hash and size of each file, by name.
        steps: what each step of the ladder to int8 gave, in order; the last that did not fail was taken.
        verdict: the gate's answer.
        rows: the export beside eager.
        environment: versions and machine of the proof.
        flags: features of the processor that decide how a network is computed.
        notes: caveats, sentences.
    """

    run: StoredRun
    format: FormatName
    precision: ExportPrecision
    with_preprocessing: bool
    max_drop: float | None
    conversion: tuple[str, ...]
    files: dict[str, StoredFile]
    steps: tuple[Step, ...]
    verdict: Verdict
    rows: tuple[ProofRow, ...]
    environment: dict[str, str]
    flags: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the certificate as JSON values."""
        document: dict[str, Any] = plain(self)
        return document

    def write(self, folder: Path) -> None:
        """Write certificate.json into `folder`, signed: its "sha256" is that of the rest."""
        document = {"schema": SCHEMA, **self.to_dict()}
        text = json.dumps(document | {"sha256": _signature(document)}, indent=2, ensure_ascii=False)
        (folder / CERTIFICATE).write_text(text + "\n", encoding="utf-8")


class Stored(TypedDict):
    """The part of certificate.json that proving an export again reads."""

    schema: int
    sha256: str
    run: StoredRun
    format: str
    precision: str
    with_preprocessing: bool
    max_drop: float | None
    conversion: list[str]
    files: dict[str, StoredFile]


def read_certificate(folder: Path) -> Stored:
    """Return the certificate of a folder, after checking its signature and the hashes of all files.

    Raises:
        Damaged: the certificate is absent or was altered; a file is missing, was altered, or is one that the
            certificate does not name.
    """
    path = folder / CERTIFICATE
    stored = read_json(path, Stored)
    unsigned = {key: value for key, value in cast("dict[str, Any]", stored).items() if key != "sha256"}
    if stored["schema"] != SCHEMA or _signature(unsigned) != stored["sha256"]:
        raise Damaged(path, "it was altered: it does not give the SHA-256 that was written with it")
    for name, entry in stored["files"].items():
        file = folder / name
        if Path(name).name != name or not file.is_file():
            raise Damaged(file, "there is no such file", absent=True)
        if sha256_file(file) != entry["sha256"]:
            raise Damaged(file, "it was altered: its bytes do not give the SHA-256 in the certificate")
    return stored


def hashed(folder: Path) -> dict[str, StoredFile]:
    """Return hash and size of each file in `folder`, by name."""
    return {
        path.name: {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
        if path.name != CERTIFICATE
    }


def surroundings() -> dict[str, str]:
    """Return the versions and the machine of a proof; packages of extras where they are installed."""
    rows = environment()
    for name in _PACKAGES:
        try:
            rows[name] = version(name)
        except PackageNotFoundError:
            continue
    return rows


def processor_flags() -> tuple[str, ...]:
    """Return the features of this processor that decide how a network is computed, sorted."""
    return tuple(sorted(flag for flag in processor().flags if flag.startswith(_FLAGS)))


def _signature(document: dict[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
