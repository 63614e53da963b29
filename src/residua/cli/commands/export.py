"""`residua export`: one call of `residua.export`, or of `check_export`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from residua._base.console import progress_bar
from residua._base.errors import InputError
from residua.cli.show import Switch, note, percent, print_json, say
from residua.cli.tables import print_table
from residua.exporting.names import CERTIFICATE, LADDER_SECONDS, MAX_DROP, PAGE, ExportPrecision, FormatName, Layout
from residua.specs.fields import BadPolicy

if TYPE_CHECKING:
    from residua.exporting.gate import Verdict
    from residua.exporting.proof import ProofRow

_ANSWERS = {"passes": "passes", "fails": "FAILS", "undecided": "cannot be decided"}
_OUT = "The folder to write, new or empty: the graph, golden images, certificate.json and certificate.html."


def export(
    run: str | None = None,
    data: str | None = None,
    /,
    *,
    format_: Annotated[FormatName | None, Parameter(name="--format")] = None,
    precision: ExportPrecision = "fp32",
    out: Annotated[Path | None, Parameter(help=_OUT)] = None,
    layout: Layout = "plain",
    runtime: Path | None = None,
    with_preprocessing: Switch = False,
    any_size: Switch = False,
    max_drop: float = MAX_DROP,
    ladder_seconds: float = LADDER_SECONDS,
    golden_only: Switch = False,
    check: Path | None = None,
    on_bad: BadPolicy | None = None,
    data_dir: Path | None = None,
    json: Switch = False,
) -> int:
    """Export a run as a file for another runtime, and prove it; or prove an export again (--check).

    The files are opened again and run beside eager, in batches of 1, 2, 7 and 32. The images are golden ones and the
    run's validation part, or its test part where there is none. In fp32 every answer must agree, and outputs may
    differ by 1e-4 of the largest. Where the gate fails, nothing is written, and the exit code is 1.

    Parameters
    ----------
    run
        The run to export; with --check the run that was exported, left out for golden images alone.
    data
        Where the run's data lies now, or other labelled images.
    format_
        onnx (one file), openvino (model.xml and model.bin), torch (torch.export, model.pt2), or web (static files that
        classify in the browser).
    precision
        fp32; int8 for onnx and openvino, calibrated on training images; bf16 for openvino (float32 files, opened for
        bf16).
    layout
        plain; or a folder that a server loads as it is: triton (a model repository) or ovms (OpenVINO Model Server).
    runtime
        For web: the folder of the npm package onnxruntime-web, such as node_modules/onnxruntime-web.
    with_preprocessing
        Put normalisation and softmax inside: the graph takes uint8 (B, H, W, 3), resized and cropped, and gives
        probabilities. Else it takes normalised float32 (B, 3, H, W) and gives logits.
    any_size
        Put resize and crop inside too, for images of any size; where the format differs from ours by more than a grey
        level, the size stays fixed and the certificate states why.
    max_drop
        The loss of top-1 that int8 may have, a fraction of 1. Steps from a plain recipe to careful ones are tried, and
        the first that passes is taken; where the images cannot decide, that is stated.
    ladder_seconds
        The time after which no further step to int8 is begun.
    golden_only
        Prove on golden images alone, where the data is not available.
    check
        The folder of an export: refuse altered files, then prove it again on this machine.
    on_bad
        refuse images that do not decode, or skip them (left out and counted); left out: as in training.
    data_dir
        Where downloaded archives are kept; left out: $RESIDUA_DATA, else ~/.cache/residua/data.
    json
        Print one JSON document.
    """
    if check is not None:
        if format_ is not None or out is not None:
            flag = "--format" if format_ is not None else "--out"
            raise InputError(f"--check with {flag}", "an export to prove, or a run to export", f"Leave out {flag}")
        return _check(check, run, data, on_bad, data_dir, json)
    if run is None or format_ is None or out is None:
        missing = [flag for flag, value in (("RUN", run), ("--format", format_), ("--out", out)) if value is None]
        raise InputError(
            f"no {' and no '.join(missing)}",
            "a run, --format and --out; or --check with the folder of an export",
            "residua export RUN --format onnx --out FOLDER",
        )
    from residua.exporting.export import GateFailed
    from residua.exporting.export import export as run_export

    with progress_bar("Proving", "images") as progress:
        try:
            written = run_export(
                run,
                data,
                format=format_,
                precision=precision,
                out=out,
                layout=layout,
                runtime=runtime,
                with_preprocessing=with_preprocessing,
                any_size=any_size,
                max_drop=max_drop,
                ladder_seconds=ladder_seconds,
                golden_only=golden_only,
                on_bad=on_bad,
                data_dir=data_dir,
                progress=progress,
                on_step=lambda step: note(f"Tried: {step.recipe}: {_ANSWERS[step.verdict.answer]}."),
            )
            certificate, folder = written.certificate, written.folder
        except GateFailed as error:
            certificate, folder = error.certificate, None
    if json:
        print_json({"folder": folder and str(folder)} | certificate.to_dict())
        return int(folder is None)
    say(f"{certificate.run['model']} of {run} as {format_}, {precision}")
    for sentence in certificate.conversion:
        say(f"  {sentence}")
    for step in certificate.steps:
        say(f"  tried: {step.recipe}: {_ANSWERS[step.verdict.answer]}")
    _print(certificate.rows, certificate.verdict, certificate.notes)
    if folder is None:
        note("Nothing was written.")
        return 1
    note(f"Written: {folder}. How far to trust it: {folder / PAGE}, and for programs {CERTIFICATE}.")
    note(f"On the machine that serves it: {shlex.join(['residua', 'export', '--check', str(folder)])}")
    return 0


def _check(
    folder: Path, run: str | None, data: str | None, on_bad: BadPolicy | None, data_dir: Path | None, json: bool
) -> int:
    from residua.exporting.recheck import check_export

    with progress_bar("Proving", "images") as progress:
        outcome = check_export(folder, run, data, on_bad=on_bad, data_dir=data_dir, progress=progress)
    if json:
        print_json(outcome.to_dict())
    else:
        network = f"{outcome.run['model']} of {outcome.run['name']}"
        say(f"{network} as {outcome.format}, {outcome.precision}: files as written")
        _print(outcome.rows, outcome.verdict, outcome.notes)
    return int(outcome.verdict.answer == "fails")


def _print(rows: Sequence[ProofRow], verdict: Verdict, notes: Sequence[str]) -> None:
    from residua.exporting.page import OF_TOP1
    from residua.exporting.proof import LabelProofRow

    say()
    names = ("images", "batches", "count", "agreement", "error", "eager top-1", "top-1", "difference, 95% interval")
    several = bool(rows) and isinstance(rows[0], LabelProofRow)
    columns = [OF_TOP1.get(name, name) if several else name for name in names]
    print_table(columns, [_cells(row) for row in rows], right=(2, 3, 4, 5, 6, 7))
    say()
    say(f"The gate {_ANSWERS[verdict.answer]}: {verdict.sentence}.")
    for sentence in notes:
        note(f"Note: {sentence}.")


def _cells(row: ProofRow) -> tuple[str, ...]:
    from residua.exporting.page import rates_of

    error = "not finite" if row.error is None else f"{row.error:.1e}"
    cells = (row.images, ",".join(map(str, row.batches)), f"{row.count:,}", percent(row.agreement), error)
    eager, export = rates_of(row)
    if eager is None or export is None or row.difference is None or row.interval is None:
        return (*cells, "–", "–", "–")
    low, high = (f"{100 * bound:+z.2f}" for bound in row.interval)
    return (*cells, percent(eager), percent(export), f"{100 * row.difference:+z.2f} ({low} to {high})")
