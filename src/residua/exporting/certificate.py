"""The certificate of an export: how far its files can be trusted, signed with a hash of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from residua._base.files import sha256_file
from residua._base.plain import plain
from residua.exporting.gate import Step, Verdict
from residua.exporting.names import CERTIFICATE, ExportPrecision, FormatName, Layout
from residua.exporting.proof import ProofRow
from residua.exporting.reading.stored import MULTILABEL_SCHEMA, SCHEMA, StoredFile, StoredRun, signature
from residua.runtime.environment import environment
from residua.runtime.processor import processor

_PACKAGES = ("onnx", "onnxscript", "onnxruntime", "openvino", "nncf")
_FLAGS = ("avx", "amx", "fma", "f16c", "sse4", "asimd", "bf16", "i8mm", "sve")


@dataclass(frozen=True)
class Certificate:
    """What an export is, and what running it beside eager showed.

    Attributes:
        run: the run that was exported.
        format: "onnx", "openvino", "torch" or "web".
        precision: of the export.
        layout: of the folder: "plain", "triton" or "ovms".
        with_preprocessing: whether it takes pixels and gives probabilities.
        any_size: whether it resizes and crops them too.
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
    layout: Layout
    with_preprocessing: bool
    any_size: bool
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
        schema = MULTILABEL_SCHEMA if "label_thresholds" in self.run else SCHEMA
        document = {"schema": schema, **self.to_dict()}
        text = json.dumps(document | {"sha256": signature(document)}, indent=2, ensure_ascii=False)
        (folder / CERTIFICATE).write_text(text + "\n", encoding="utf-8")


def hashed(folder: Path) -> dict[str, StoredFile]:
    """Return hash and size of each file in `folder` or below, by its path there."""
    return {
        path.relative_to(folder).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.name != CERTIFICATE and path.is_file()
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
