"""Export a run as a file for another runtime, run it beside the run, and write how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from residua._base.errors import AnswerNo
from residua.evaluation.run_data import open_run
from residua.evaluation.scores.options import Progress
from residua.exporting.certificate import Certificate, hashed, processor_flags, surroundings
from residua.exporting.conversion import golden_of, metadata, stored_run, trace
from residua.exporting.folder import atomic_folder, check_empty
from residua.exporting.formats import open_graph, write_graph
from residua.exporting.gate import judge
from residua.exporting.golden import Golden
from residua.exporting.graph_input import GraphForm
from residua.exporting.names import GOLDEN, PAGE, ExportPrecision, FormatName, check_form
from residua.exporting.page import render
from residua.exporting.part import Part, open_part
from residua.exporting.proof import prove
from residua.specs.fields import BadPolicy
from residua.weights.run import Run

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
    with_preprocessing: bool = False,
    golden_only: bool = False,
    on_bad: BadPolicy | None = None,
    data_dir: Path | None = None,
    progress: Progress | None = None,
) -> Export:
    """Export a run, and prove the files: they are opened again and run beside eager.

    The export sees golden images in batches of 1, 2, 7 and 32. It also sees the run's validation part, or the test
    part where there is none, in batches of these sizes in turn. In fp32 it must give the same top-1 for every image,
    and outputs within 1e-4 of the largest.

    Args:
        run: a `Run`, its folder or a name that `load` takes.
        data: where the run's data lies now, or other labelled images; None for the recorded place.
        format: "onnx", "openvino" or "torch" (torch.export, .pt2).
        out: the folder to write, new or empty. It appears when all is proven.
        precision: "fp32".
        with_preprocessing: whether the graph takes uint8 (B, H, W, 3), resized and cropped, and gives probabilities;
            else it takes normalised float32 (B, 3, H, W) and gives logits.
        golden_only: prove on golden images alone. It is so of runs that record no data, unless `data` is given.
        on_bad: "refuse" images that do not decode, or "skip" them; None for the policy of the training.
        data_dir: the folder of downloaded data sets.
        progress: called with (images done, images in total).

    Raises:
        InputError: `out` holds something; an unknown format or precision; a missing extra; errors of `evaluate`.
        GateFailed: the export does not hold what its precision promises; nothing was written.
    """
    name, chosen = check_form(format, precision)
    opened = open_run(run, [data])
    folder = check_empty(out)
    part = None
    if not golden_only and (data is not None or "hash" in opened.data):
        part = open_part(opened, data, data_dir=data_dir, on_bad=on_bad, progress=progress)
    form = GraphForm.of(opened, with_preprocessing=with_preprocessing)
    golden = golden_of(opened, form)
    with atomic_folder(folder) as beside:
        program, conversion = trace(opened, form)
        write_graph(name, program, beside, metadata(opened, form, chosen), form.output)
        golden.write(beside / GOLDEN)
        certificate = _certified(opened, form, name, chosen, beside, golden, part, conversion, progress)
        if certificate.verdict.answer == "fails":
            raise GateFailed(certificate)
        (beside / PAGE).write_text(render(certificate), encoding="utf-8")
        certificate.write(beside)
    return Export(folder, certificate)


def _certified(
    run: Run,
    form: GraphForm,
    format: FormatName,  # noqa: A002
    precision: ExportPrecision,
    folder: Path,
    golden: Golden,
    part: Part | None,
    conversion: tuple[str, ...],
    progress: Progress | None,
) -> Certificate:
    """Run the files in `folder` and return their certificate."""
    answers, _ = open_graph(format, folder, precision)
    proof = prove(answers, form, golden, part, progress)
    notes = (*part.notes,) if part is not None else (NO_IMAGES,)
    return Certificate(
        run=stored_run(run),
        format=format,
        precision=precision,
        with_preprocessing=form.with_preprocessing,
        conversion=conversion,
        files=hashed(folder),
        verdict=judge(proof, precision),
        rows=proof.rows,
        environment=surroundings(),
        flags=processor_flags(),
        notes=notes,
    )
