"""Export a run as a file for another runtime, run it beside the run, and write how far it can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from residua._base.console import Progress
from residua._base.errors import AnswerNo, InputError
from residua._base.files import atomic_folder, check_empty
from residua.evaluation.measures.drop import MaxDrop
from residua.evaluation.run_data import open_run
from residua.exporting.certificate import Certificate, hashed, processor_flags, surroundings
from residua.exporting.conversion import golden_of, metadata, stored_run, trace
from residua.exporting.gate import Step
from residua.exporting.graph_input import GraphForm
from residua.exporting.layouts.layout import check_layout, write_layout
from residua.exporting.names import (
    FILES,
    GOLDEN,
    LADDER_SECONDS,
    MAX_DROP,
    PAGE,
    FormatName,
    check_form,
    graph_folder,
)
from residua.exporting.page import render
from residua.exporting.part import open_part
from residua.exporting.resizing.fit import Fit, fit, raw_images
from residua.exporting.trial import Trial
from residua.exporting.web.site import WebRuntime, check_rejection, write_site
from residua.runtime.engines.int8 import Int8Form, keep_int8
from residua.runtime.engines.names import EngineName
from residua.specs.fields import BadPolicy, Span, checked
from residua.weights.run import Run

_ENGINES: dict[FormatName, EngineName] = {"openvino": "openvino", "onnx": "onnxruntime"}
NO_IMAGES = "no labelled images: accuracy was not measured, and agreement on golden images alone"


@dataclass(frozen=True)
class Export:
    """An export that was written.

    Attributes:
        folder: it holds the graph, the golden images, certificate.json and certificate.html.
        certificate: what the export is and what running it showed.
    """

    folder: Path
    certificate: Certificate


class GateFailed(AnswerNo):
    """An export that does not hold what its precision promises; nothing was written.

    Args:
        certificate: with what running it showed.
    """

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        super().__init__(f"The export fails its gate, and nothing was written: {certificate.verdict.sentence}.")


def export(
    run: Run | Path | str,
    data: str | Path | None = None,
    *,
    format: str,  # noqa: A002
    out: Path | str,
    precision: str = "fp32",
    layout: str = "plain",
    runtime: Path | str | None = None,
    with_preprocessing: bool = False,
    any_size: bool = False,
    max_drop: float = MAX_DROP,
    ladder_seconds: float = LADDER_SECONDS,
    golden_only: bool = False,
    on_bad: BadPolicy | None = None,
    data_dir: Path | None = None,
    progress: Progress | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Export:
    """Export a run, and prove the files: they are opened again and run beside eager.

    The export sees golden images in batches of 1, 2, 7 and 32. It also sees the run's validation part, or the test
    part where there is none, in batches of these sizes in turn. In fp32 it must give the same top-1 for every image,
    and outputs within 1e-4 of the largest. In bf16 99.5% of the answers must agree. In int8 top-1 must not fall by
    more than `max_drop`. Where the images are too few to decide that, the export is written and states it. Of several
    labels an image, each label of each image is an answer, and int8 is refused.

    Args:
        run: a `Run`, its folder or a name that `load` takes.
        data: where the run's data lies now, or other labelled images; None for the recorded place.
        format: "onnx", "openvino", "torch" (torch.export, .pt2), or "web": a folder of static files that classifies in
            the browser; what the run answers "unknown", the page does too.
        out: the folder to write, new or empty. It appears when all is proven.
        precision: "fp32"; "int8" for ONNX and OpenVINO; "bf16" for OpenVINO, whose files hold float32 and are opened
            for bf16.
        layout: "plain"; or a folder that a model server loads as it is: "triton" or "ovms" (OpenVINO Model Server).
        runtime: for "web", the folder of the npm package onnxruntime-web, whose files are copied.
        with_preprocessing: whether the graph takes uint8 (B, H, W, 3), resized and cropped, and gives probabilities;
            else it takes normalised float32 (B, 3, H, W) and gives logits.
        any_size: whether it resizes and crops too: H and W are free, and the preprocessing is inside. Where the format
            is more than a grey level from ours they stay fixed, and the certificate states why.
        max_drop: the loss of top-1 that int8 may have, a fraction of 1. The steps of a ladder of recipes are tried,
            from plain to careful, and the first that passes is taken.
        ladder_seconds: for int8, no further step begins after so long.
        golden_only: prove on golden images alone. It is so of runs that record no data, unless `data` is given.
        on_bad: "refuse" images that do not decode, or "skip" them; None for the policy of the training.
        data_dir: the folder of downloaded data sets.
        progress: called with (images done, images in total).
        on_step: called with each step to int8 that was tried.

    Raises:
        InputError: `out` holds something; an unknown format or precision; int8 without images to calibrate and to
            measure on; "web" of a run whose rejection needs
            features; bf16 on a processor without it; a missing extra; errors of `evaluate`.
        GateFailed: the export does not hold what its precision promises; nothing was written.
    """
    name, chosen = check_form(format, precision)
    arranged = check_layout(layout, name, chosen)
    if runtime is not None and name != "web":
        raise InputError(f"runtime={runtime} with format={name!r}", "format='web' for it", "Leave it out")
    web = WebRuntime.open(None if runtime is None else Path(runtime)) if name == "web" else None
    limit: float = checked("max_drop", max_drop, MaxDrop, "Use max_drop=0.003 for 0.3 points")
    time: float = checked("ladder_seconds", ladder_seconds, Annotated[float, Span(0, above=True)])
    opened = open_run(run, [data], multilabel=True)
    if chosen == "int8":
        _refuse_int8_of_labels(opened)
    if web is not None:
        check_rejection(opened)
    folder = check_empty(out)
    part = None
    if not golden_only and (data is not None or "hash" in opened.data):
        part = open_part(opened, data, data_dir=data_dir, on_bad=on_bad, progress=progress)
    if chosen == "int8" and part is None:
        raise InputError(
            "precision='int8' without images",
            "labelled images to calibrate on, and others to measure the loss of accuracy on",
            "Name the data that the run was trained on",
        )
    form = GraphForm.of(opened, with_preprocessing=with_preprocessing or any_size or web is not None)
    # The page scores logits where a rejection decides what is unknown.
    form = replace(form, gives_logits=web is not None and opened.rejection is not None)
    fitting = fit(name, form.preprocess, raw_images(form.preprocess, part)) if any_size and web is None else None
    form = replace(form, any_size=fitting is not None and fitting.holds)
    golden = golden_of(opened, form)
    trial = Trial(name, chosen, form, golden, part, limit, time, progress, on_step)
    with atomic_folder(folder) as beside:
        program, conversion = trace(opened, form)
        graph = graph_folder(beside, arranged, opened.spec.name)
        graph.mkdir(parents=True, exist_ok=True)
        outcome = trial.run(program, metadata(opened, form, chosen), graph)
        write_layout(
            beside,
            arranged,
            network=opened.spec.name,
            classes=opened.classes,
            name=name,
            precision=chosen,
            form=form,
        )
        if web is not None:
            write_site(beside, opened, web)
        golden.write(beside / GOLDEN)
        certificate = Certificate(
            run=stored_run(opened),
            format=name,
            precision=chosen,
            layout=arranged,
            with_preprocessing=form.with_preprocessing,
            any_size=form.any_size,
            max_drop=limit if chosen == "int8" else None,
            conversion=(*conversion, *outcome.sentences, *((web.sentence,) if web else ()), *_sizes(fitting)),
            files=hashed(beside),
            steps=outcome.steps,
            verdict=outcome.verdict,
            rows=outcome.proof.rows,
            environment=surroundings(),
            flags=processor_flags(),
            notes=part.notes if part is not None else (NO_IMAGES,),
        )
        if certificate.verdict.answer == "fails":
            raise GateFailed(certificate)
        (beside / PAGE).write_text(render(certificate), encoding="utf-8")
        certificate = replace(certificate, files=hashed(beside))
        certificate.write(beside)
        if chosen == "int8" and not form.with_preprocessing and name in _ENGINES:
            _keep(opened, name, graph, certificate)
    return Export(folder, certificate)


def _refuse_int8_of_labels(run: Run) -> None:
    if run.multilabel is not None:
        raise InputError(
            f"precision='int8' of {run.name}, a run whose images may have several labels",
            "one label per image: the ladder to int8 is judged by the loss of top-1",
            "Use precision='fp32', or 'bf16' for OpenVINO",
        )


def _keep(run: Run, format: FormatName, folder: Path, certificate: Certificate) -> None:  # noqa: A002
    """Keep an int8 form that the gate let through, where the engines look for it."""
    verdict = certificate.verdict
    files = {name: (folder / name).read_bytes() for name in FILES[format]}
    size = (run.spec.in_channels, *run.preprocess_spec.size)
    form = Int8Form(files=files, sentence=verdict.sentence, decided=verdict.answer)
    keep_int8(run.model, _ENGINES[format], size, form)


def _sizes(fitting: Fit | None) -> tuple[str, ...]:
    """Return what is stated of a resize that was asked for."""
    if fitting is None:
        return ()
    return (fitting.sentence if fitting.holds else f"any_size was asked for and the size is fixed: {fitting.sentence}",)
