"""What decides the answers of a job: a job that goes on must have the same."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path
from typing import Any

from residua._version import __version__
from residua.data.decode.formats import VERSION
from residua.inference.answers.names import OnBad
from residua.runtime.engines.names import EngineName
from residua.weights.bundle.value import hash_tensors
from residua.weights.run import Run

_PACKAGES: dict[EngineName, tuple[str, ...]] = {
    "eager": ("torch",),
    "compiled": ("torch",),
    "native": ("torch",),
    "onnxruntime": ("onnxruntime", "onnxscript", "torch"),
    "openvino": ("openvino", "torch"),
}


def job_of(
    run: Run,
    out: Path,
    *,
    engine: EngineName,
    precision: str,
    device: str,
    top: int,
    batch_size: int,
    on_bad: OnBad,
    cluster: str = "",
) -> dict[str, Any]:
    """Return by name, as JSON values, all that the rows of a file depend on, but for the images.

    Args:
        run: its weights are hashed as they are now, not as they were saved.
        out: its ending is the form of the rows.
        engine: that computes the logits.
        precision: in which it computes.
        device: the kind of device where it computes.
        top: classes per row.
        batch_size: images per forward pass; logits depend on it by some units in the last place.
        on_bad: what becomes of a file without an answer.
        cluster: what spreads the work over machines, "" for nothing.
    """
    rest = [run.spec.to_json(), run.preprocess_spec.to_json(), list(run.classes), run.temperature]
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES[engine]}
    return {
        "residua": __version__,
        **versions,
        "decoders": VERSION,
        "weights": hash_tensors(run.model.state_dict()),
        "network": _digest(rest),
        "engine": engine,
        "precision": precision,
        "device": device,
        "batch_size": batch_size,
        "top": min(top, len(run.classes)),
        "on_bad": on_bad,
        "out": out.suffix.lower(),
        **({"rejection": _digest(run.rejection.to_json())} if run.rejection else {}),
        **({"labels": list(run.classes), "thresholds": list(run.multilabel.thresholds)} if run.multilabel else {}),
        **({"cluster": cluster} if cluster else {}),
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
