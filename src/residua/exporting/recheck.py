"""Prove an export again, on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residua._base.console import Progress
from residua._base.errors import Damaged, InputError, ResiduaError
from residua._base.files import check_local
from residua._base.plain import plain
from residua.evaluation.run_data import open_run
from residua.exporting.certificate import processor_flags, surroundings
from residua.exporting.export import NO_IMAGES
from residua.exporting.formats import open_graph
from residua.exporting.gate import Verdict, judge
from residua.exporting.golden import Golden
from residua.exporting.graph_input import GraphForm
from residua.exporting.names import CERTIFICATE, GOLDEN, MAX_DROP, ExportPrecision, FormatName, check_form
from residua.exporting.part import Part, open_part
from residua.exporting.proof import ProofRow, prove
from residua.exporting.reading.stored import StoredRun, graph_of, read_certificate
from residua.exporting.resizing.fit import raw_size
from residua.specs.fields import BadPolicy
from residua.specs.preprocess import PreprocessSpec
from residua.weights.run import Run


@dataclass(frozen=True)
class Check:
    """An export, proven again.

    Attributes:
        folder: of the export.
        run: the run that was exported.
        format: of the export.
        precision: of the export.
        verdict: the gate's answer on this machine.
        rows: the export beside eager's stored answers, and beside eager on the part where the run was given.
        environment: versions and machine of this proof.
        flags: features of this processor that decide how a network is computed.
        notes: caveats, sentences.
    """

    folder: Path
    run: StoredRun
    format: FormatName
    precision: ExportPrecision
    verdict: Verdict
    rows: tuple[ProofRow, ...]
    environment: dict[str, str]
    flags: tuple[str, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the check as JSON values."""
        document: dict[str, Any] = plain(self)
        return document


def check_export(
    folder: Path | str,
    run: Run | Path | str | None = None,
    data: str | Path | None = None,
    *,
    on_bad: BadPolicy | None = None,
    data_dir: Path | None = None,
    progress: Progress | None = None,
) -> Check:
    """Verify an export again: the hashes of its files first, then golden images, and with the run the part too.

    Args:
        folder: of the export.
        run: the run that was exported; None for golden images alone.
        data: as in `export`.
        on_bad: as in `export`.
        data_dir: as in `export`.
        progress: as in `export`.

    Raises:
        InputError: the folder holds no export; a run with other weights; errors of `evaluate`.
        Damaged: a file is missing, was altered or is read without being named in the certificate.
    """
    check_local("check", folder)
    folder = Path(folder)
    if not (folder / CERTIFICATE).is_file():
        raise InputError(
            f"check={folder}, which holds no {CERTIFICATE}", "the folder of an export", "Name what out=… named"
        )
    stored = read_certificate(folder)
    name, precision = check_form(stored["format"], stored["precision"])
    preprocess = PreprocessSpec.from_json(stored["run"]["preprocess"])
    form = GraphForm(
        preprocess,
        stored["run"]["temperature"],
        stored["with_preprocessing"],
        stored.get("any_size", False),
        thresholds=tuple(stored["run"].get("label_thresholds", ())),
    )
    part = None if run is None else _part(stored["run"], run, data, data_dir, on_bad, progress)
    graph = graph_of(folder, stored).parent
    golden = Golden.read(folder / GOLDEN)
    answers, _ = open_graph(name, graph, precision)
    if golden.pixels.shape[1:] != (*(raw_size(preprocess) if form.any_size else preprocess.size), 3):
        raise Damaged(folder / GOLDEN, "its images are not of the size that the graph is proven with")
    try:
        proof = prove(answers, form, golden, part, progress)
    except (ResiduaError, OSError, MemoryError):
        raise
    except Exception as error:
        # What a runtime raises is of its own types; a graph and a certificate that do not fit each other are the cause.
        text = " ".join(str(error).split())[:200]
        raise Damaged(
            folder / CERTIFICATE, f"the graph does not run as it states ({type(error).__name__}: {text})"
        ) from error
    return Check(
        folder=folder,
        run=stored["run"],
        format=name,
        precision=precision,
        verdict=judge(proof, precision, stored["max_drop"] or MAX_DROP, any_size=form.any_size),
        rows=proof.rows,
        environment=surroundings(),
        flags=processor_flags(),
        notes=(NO_IMAGES,) if part is None else part.notes,
    )


def _part(
    stored: StoredRun,
    run: Run | Path | str,
    data: str | Path | None,
    data_dir: Path | None,
    on_bad: BadPolicy | None,
    progress: Progress | None,
) -> Part:
    opened = open_run(run, [data], multilabel=True)
    if opened.weights_sha256 != stored["weights_sha256"]:
        raise InputError(
            f"{opened.folder}, whose weights have the SHA-256 {opened.weights_sha256[:16]}…",
            f"the run that was exported, {stored['name']}, with {stored['weights_sha256'][:16]}…",
            "Name that run, or none",
        )
    return open_part(opened, data, data_dir=data_dir, on_bad=on_bad, progress=progress)
