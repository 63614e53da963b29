"""Converted graphs of runs, kept in the cache: the first start converts, in a process of its own, the others open."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, TypedDict

from residua._base.cache import Cache
from residua._base.errors import Damaged, InputError
from residua._base.files import sha256_file
from residua._base.json_file import read_json
from residua._base.run_files import CONFIG_FILE, MODEL_FILE
from residua._base.subprocesses import python_module
from residua._version import __version__
from residua.exporting.names import FILES
from residua.serving.networks.graph_network import FORMATS, GraphNetwork, LazyExplainer, open_session
from residua.serving.networks.network import Computation, Description

DESCRIPTION, REFUSAL = "description.json", "refusal.json"
_FORMAT = 2  # part of every key
_LIMIT = 8 << 30
_PACKAGES = {"openvino": ("openvino", "torch"), "onnxruntime": ("onnxscript", "torch")}
"""The packages that decide what a converted graph is."""


class StoredGraph(TypedDict):
    """What stands beside a converted graph.

    Attributes:
        network: the fields of its `Description`.
        files: SHA-256 of its files, by name.
        weights_sha256: of the tensors of the run that it was made of.
    """

    network: dict[str, Any]
    files: dict[str, str]
    weights_sha256: str


def has_weights(folder: Path) -> bool:
    """Return whether a folder holds the weights of a run."""
    return (folder / MODEL_FILE).is_file()


def open_kept(folder: Path, computing: Computation) -> GraphNetwork:
    """Open the converted graph of a run, which is made where the cache has none.

    The key covers every byte of the run's weights: a file that was replaced is checked and converted again.

    Raises:
        InputError: as `load` and the engine.
    """
    engine = computing.engine

    def load(entry: Path) -> GraphNetwork:
        return _opened(entry, folder, computing)

    cache = Cache("graphs", _LIMIT, without="each start converts the run")
    network = cache.read_or_build(_key(folder, engine), load, lambda beside: _convert(folder, engine, beside))
    if network is None:
        with tempfile.TemporaryDirectory() as beside:
            _convert(folder, engine, Path(beside))
            # Runtimes map the file: it lives as long as they do, even without a name.
            network = load(Path(beside))
    return network


def _opened(entry: Path, folder: Path, computing: Computation) -> GraphNetwork:
    document = read_json(entry / DESCRIPTION, StoredGraph)
    for name, digest in document["files"].items():
        if not (entry / name).is_file() or sha256_file(entry / name) != digest:
            raise Damaged(entry / name, "its bytes are not those that were written")
    explains = document["network"].get("explains") is True and _has_torch()
    changes = {"precision": computing.precision, "explains": explains}
    try:
        stated = Description.from_json(document["network"] | changes)
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise Damaged(entry / DESCRIPTION, f"it does not describe a network ({error})") from None
    session = open_session(computing.engine, computing.precision, entry)
    explain = LazyExplainer(folder.absolute(), document["weights_sha256"]) if explains else None
    return GraphNetwork(session, stated, explain)


def _key(folder: Path, engine: str) -> str:
    config = folder / CONFIG_FILE
    digests = [sha256_file(folder / MODEL_FILE), sha256_file(config) if config.is_file() else ""]
    versions = [__version__, *(_version(name) for name in _PACKAGES[engine])]
    return hashlib.sha256(json.dumps([_FORMAT, engine, digests, versions]).encode()).hexdigest()


def _convert(folder: Path, engine: str, beside: Path) -> None:
    """Convert in another process: torch takes memory that this one would keep.

    Raises:
        InputError: what that process refused.
    """
    if not _has_torch():
        raise InputError(
            f"{folder}, a run whose graph is not in the cache, and no torch to convert it with",
            "an export, which needs no torch",
            "Export the run where torch is installed, and serve that folder",
        )
    command, environment = python_module("residua.serving.networks.conversion")
    words = [*command, str(folder.absolute()), engine, str(beside)]
    # It ends with its standard input, which ends with this process, even where that is killed.
    with subprocess.Popen(
        words, env=environment, cwd=beside, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        try:
            code = process.wait()
        finally:
            process.kill()
    refusal = beside / REFUSAL
    if refusal.is_file():
        raise InputError(*json.loads(refusal.read_text(encoding="utf-8")))
    if code or not all((beside / name).is_file() for name in (DESCRIPTION, *FILES[FORMATS[engine]])):
        raise InputError(
            f"{folder}, whose conversion for {engine} ended with exit code {code}",
            "a network that the engine can take",
            "Use engine='eager'; the log has the details",
        )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _has_torch() -> bool:
    return bool(_version("torch"))
