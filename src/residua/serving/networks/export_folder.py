"""A folder that `residua export` wrote, served as it is: its files are checked against the certificate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from residua._base.errors import Damaged, InputError
from residua.evaluation.rejection.rejecter import deciding
from residua.exporting.names import CERTIFICATE
from residua.exporting.reading.stored import StoredCertificate, graph_of, read_certificate
from residua.serving.networks.graph_network import FORMATS, GraphNetwork, open_session
from residua.serving.networks.network import Computation, Description
from residua.specs.preprocess import PreprocessSpec
from residua.specs.rejection import FEATURE_SCORES, Rejection

_ENGINES = {form: engine for engine, form in FORMATS.items()}


def is_export(folder: Path) -> bool:
    """Return whether a folder is an export."""
    return (folder / CERTIFICATE).is_file()


def open_export(folder: Path, computing: Computation) -> GraphNetwork:
    """Open an export: format and precision are its own.

    Raises:
        InputError: a format that needs torch, a graph with the preprocessing inside, or another engine or precision
            than the export's.
        Damaged: a file is not as the certificate states.
    """
    stored = read_certificate(folder)
    engine = _ENGINES.get(stored["format"])  # type: ignore[call-overload]
    if engine is None:
        raise InputError(
            f"{folder}, an export of format={stored['format']!r}",
            f"an export of format={' or '.join(repr(form) for form in _ENGINES)}, or the run itself",
            "Serve the run that it was made of",
        )
    if stored["with_preprocessing"]:
        raise InputError(
            f"{folder}, an export with the preprocessing inside, which gives probabilities alone",
            "an export that gives logits",
            "Export it again without the preprocessing inside, or serve the run",
        )
    _check_computing(folder, engine, stored["precision"], computing)
    session = open_session(engine, stored["precision"], graph_of(folder, stored).parent)
    return GraphNetwork(session, _described(folder, stored, engine, session.metadata))


def _described(folder: Path, stored: StoredCertificate, engine: str, metadata: dict[str, str]) -> Description:
    try:
        classes = json.loads(metadata["classes"])
        thresholds = json.loads(metadata["thresholds"])
        stated = json.loads(metadata.get("rejection", "null"))
        rejects = None if stated is None or stated["score"] in FEATURE_SCORES else Rejection.from_json(stated)
        preprocess = PreprocessSpec.from_json(stored["run"]["preprocess"])
        several = stored["run"].get("label_thresholds")
        if several is not None and len(several) != len(classes):
            raise ValueError(f"{len(several)} thresholds for {len(classes)} labels")
    except (KeyError, ValueError, TypeError) as error:
        raise Damaged(folder / CERTIFICATE, f"the graph beside it does not state its classes ({error})") from None
    measured: dict[str, Any] = next((row for row in stored["rows"] if row.get("top1") is not None), {})
    # Where features decide, an export states so, and no answer of it is called unknown.
    threshold, rejection = (None, None) if stated and not rejects else deciding(rejects, thresholds)
    return Description(
        network=stored["run"]["model"],
        classes=tuple(classes),
        preprocess=preprocess,
        temperature=stored["run"]["temperature"],
        threshold=threshold,
        rejection=rejection,
        top1=measured.get("top1"),
        count=measured.get("count"),
        split=str(measured.get("images") or ""),
        data="",
        calibrated=bool(thresholds),
        engine=engine,
        precision=stored["precision"],
        explains=False,
        label_thresholds=None if several is None else tuple(map(float, several)),
    )


def _check_computing(folder: Path, engine: str, precision: str, computing: Computation) -> None:
    # The defaults of the options stand for "whatever it is": they cannot be distinguished from the user's own.
    if computing.engine not in ("eager", "auto", engine):
        raise InputError(
            f"engine={computing.engine!r} for {folder}, an export for {engine}", f"engine={engine!r}", "Leave it out"
        )
    if computing.precision not in ("fp32", precision):
        raise InputError(
            f"precision={computing.precision!r} for {folder}, an export in {precision}",
            f"precision={precision!r}",
            "Leave it out, or export again in that precision",
        )
    if computing.device not in (None, "cpu"):
        raise InputError(f"device={computing.device!r} for {folder}", "device='cpu', where it computes", "Leave it out")
