"""certificate.json of an export, read back and checked; without torch, for servers that do without it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath
from typing import Any, NotRequired, TypedDict, cast

from residua._base.errors import Damaged
from residua._base.files import sha256_file
from residua._base.json_file import read_json
from residua.exporting.names import CERTIFICATE, FILES, ONNX, Layout, check_form, graph_folder
from residua.runtime.graphs.external_data import check_external_data
from residua.specs.fields import checked

SCHEMA, MULTILABEL_SCHEMA = 1, 2
"""Of certificates: exports of several labels an image have one of their own, which older versions refuse."""


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
        label_thresholds: from which probability on an image has each label, where it may have several.
    """

    name: str
    model: str
    weights_sha256: str
    temperature: float
    preprocess: dict[str, Any]
    label_thresholds: NotRequired[list[float]]


class StoredCertificate(TypedDict):
    """The part of certificate.json that proving an export again and serving it read."""

    schema: int
    sha256: str
    run: StoredRun
    format: str
    precision: str
    layout: NotRequired[str]
    with_preprocessing: bool
    any_size: NotRequired[bool]
    max_drop: float | None
    conversion: list[str]
    files: dict[str, StoredFile]
    rows: list[dict[str, Any]]


def read_certificate(folder: Path) -> StoredCertificate:
    """Return the certificate of a folder, after checking its signature and the hashes of all files.

    Raises:
        Damaged: the certificate is absent or was altered; a file that it names is missing or was altered.
    """
    path = folder / CERTIFICATE
    stored = read_json(path, StoredCertificate)
    unsigned = {key: value for key, value in cast("dict[str, Any]", stored).items() if key != "sha256"}
    schema = MULTILABEL_SCHEMA if "label_thresholds" in stored["run"] else SCHEMA
    if stored["schema"] != schema or signature(unsigned) != stored["sha256"]:
        raise Damaged(path, "it was altered: it does not give the SHA-256 that was written with it")
    for name, entry in stored["files"].items():
        file = folder / name
        if not _inside(name) or not file.is_file():
            raise Damaged(file, "there is no such file", absent=True)
        if sha256_file(file) != entry["sha256"]:
            raise Damaged(file, "it was altered: its bytes do not give the SHA-256 in the certificate")
    temperature = stored["run"]["temperature"]
    if not (math.isfinite(temperature) and temperature > 0):
        raise Damaged(path, f"its temperature is {temperature}")
    return stored


def graph_of(folder: Path, stored: StoredCertificate) -> Path:
    """Return the file of an export to open, after checking that the certificate names all that it is read with.

    Raises:
        InputError: an unknown format or layout; an ONNX file that reads weights from outside its folder.
        Damaged: the graph, or a file that its weights are read from, has no hash in the certificate.
    """
    name, _ = check_form(stored["format"], stored["precision"])
    layout: Layout = checked("layout", stored.get("layout", "plain"), Layout)
    graph = graph_folder(folder, layout, stored["run"]["model"])
    files = FILES[name]
    # A certificate without the graph is refused before anything parses the file.
    _check_named(folder, stored, graph, files)
    if name in ONNX:
        _check_named(folder, stored, graph, check_external_data(graph / files[0]))
    return graph / files[0]


def _check_named(folder: Path, stored: StoredCertificate, graph: Path, files: Iterable[str]) -> None:
    for file in files:
        if (graph / file).relative_to(folder).as_posix() not in stored["files"]:
            raise Damaged(graph / file, "the graph is read from it, and the certificate does not name it")


def _inside(name: str) -> bool:
    """Return whether a path stays in the folder that it starts from."""
    path = PureWindowsPath(name)  # it splits at both kinds of slash
    return bool(path.parts) and not path.anchor and ".." not in path.parts and "\0" not in name


def signature(document: dict[str, Any]) -> str:
    """Return the SHA-256 of a certificate without its own."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
