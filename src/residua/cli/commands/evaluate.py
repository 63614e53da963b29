"""`residua evaluate`: one call of `residua.evaluate`, and of `calibrate` before it where that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from residua._base.console import progress_bar
from residua._base.errors import InputError
from residua._base.run_files import REPORT_DOCUMENT, REPORT_PAGE
from residua._base.words import counted
from residua.cli.printing.report_tables import print_label_report, print_report
from residua.cli.score_flags import SCORING, Scoring
from residua.cli.show import Switch, check_target, note, percent, print_json
from residua.specs.rejection import ScoreName


def evaluate(
    run: str,
    data: str | None = None,
    /,
    *,
    scoring: Scoring = SCORING,
    with_: Annotated[tuple[str, ...], Parameter(name="--with")] = (),
    member_weights: Literal["equal", "val"] = "equal",
    weights: Annotated[Literal["equal", "val"] | None, Parameter(show=False)] = None,
    select: Literal["greedy"] | None = None,
    slices: Path | None = None,
    study: tuple[Path, ...] = (),
    calibrate: Switch = False,
    reject: float | None = None,
    score: ScoreName = "energy",
    unknown: Path | None = None,
    neighbours: Switch = False,
    projection: Literal["pca", "umap"] = "pca",
    corrupt: Switch = False,
    corruption: tuple[str, ...] = (),
    severity: tuple[int, ...] = (),
    shift: Path | None = None,
    reestimate_bn: Switch = False,
    report: Path | None = None,
    predictions: Path | None = None,
    full_provenance: Switch = False,
    json: Switch = False,
) -> int:
    """Measure a trained run on images that it has not learnt from; or several, as an ensemble.

    Parameters
    ----------
    run
        The folder of a trained run, or one on the Hub: hf://ORG/REPO. The weights of one epoch, which train --keep
        every leaves: RUN/checkpoints/epoch-0003.safetensors.
    data
        What `residua train` takes; left out: the run's own held-out part.
    with_
        Other runs whose probabilities are averaged with the run's. Classes are matched by name.
    member_weights
        Weights of that average: equal, or val for the least cross-entropy on the run's validation part.
    weights
        The former name of --member-weights.
    select
        greedy: take only the members that greedy selection on the validation part chooses.
    slices
        A CSV file with a column `path` (relative to the data) and others; results are given for each of their values.
    study
        The folder of a finished study (residua study), for the report to show; or several.
    calibrate
        First fit the temperature of the probabilities on the run's validation part, and store it in the run.
    reject
        With --calibrate: the share of validation images that may be answered "unknown", such as 0.05. The score above
        which that happens is stored in the run, and predict, serve and exports follow it.
    score
        With --reject, what decides: softmax (the greatest probability), energy (of the logits), knn (distance to the
        nearest training images) or mahalanobis (to the nearest class). The last two need features: engine eager.
    unknown
        A folder of images that belong to no class: how well each score recognises them (AUROC, FPR95).
    neighbours
        Add to the report the training images most like the worst mistakes, and a map of the images by their features.
        The training images pass through the network for it, at most 20,000.
    projection
        Of that map: pca, or umap (extra umap).
    corrupt
        Measure the images in noise, blur, weather and coarse pixels too: the 15 common corruptions at 5 severities
        (Hendrycks 2019), each applied after resize and crop. Scores are cached: a pass that was stopped goes on.
    corruption
        With --corrupt: some of them by name, such as fog or gaussian_noise.
    severity
        With --corrupt: some of 1 (slight) to 5 (severe).
    shift
        A second folder with the same classes, such as photos of another camera: it is scored too, and compared.
    reestimate_bn
        First re-estimate batch normalisation's statistics over the training part under the evaluation transform.
        The run itself stays as it is.
    report
        A folder to write report.html and report.json to.
    predictions
        A file for the answer to each image: .csv, or .parquet (extra shards). It has columns for path, label (or a;b),
        predicted class, probabilities and loss.
    full_provenance
        State paths of this machine in the report; left out: data by the last part of its path, files relative to it.
    json
        Print the report as one JSON document.
    """
    from residua.evaluation.calibrate import calibrate as fit
    from residua.evaluation.evaluate import evaluate as measure
    from residua.evaluation.multilabel.report import MultilabelReport
    from residua.evaluation.report.predictions import check_table
    from residua.evaluation.report.report import write_report
    from residua.evaluation.report.study_section import read_study
    from residua.evaluation.run_data import open_run
    from residua.figures.pages import check_page

    if predictions is not None:
        check_table(predictions)
        check_target(predictions)
    if calibrate and (with_ or reestimate_bn or scoring.views != ("1",)):
        raise InputError(
            "--calibrate with --with, --reestimate-bn or --views",
            "one run as `residua predict` uses it: a temperature belongs to its centre crop",
            "Calibrate first, then evaluate: two commands",
        )
    if reject is not None and not calibrate:
        raise InputError("--reject without --calibrate", "both", "Add --calibrate")
    if (corruption or severity) and not corrupt:
        raise InputError(f"{'--corruption' if corruption else '--severity'} without --corrupt", "both", "Add --corrupt")
    studies = [read_study(folder) for folder in study]
    if report:
        # Created first: a folder that cannot be written to must not cost a pass over the data.
        if not (report / REPORT_DOCUMENT).exists():
            check_page(report / REPORT_PAGE)
        report.mkdir(parents=True, exist_ok=True)
    if calibrate:
        with progress_bar("Calibrating", "images") as progress:
            fitted = fit(run, data, reject=reject, score=score, **scoring.part_keywords(progress))
        images = counted(fitted.count, "validation image")
        if fitted.fitted:
            change = f"{fitted.loss_before:.4f} to {fitted.loss_after:.4f}"
            note(f"Temperature {fitted.temperature:.4f}, fitted on {images}: loss {change}. It is stored in {run}.")
        else:
            note(
                f"All answers to the {images} are right, so no temperature fits: it stays 1, and probabilities are the "
                "network's own. More validation images, of which some are answered wrongly, would settle it."
            )
        if reject is not None and (rejection := open_run(run).rejection) is not None:
            note(
                f"Unknown above {rejection.score} {rejection.threshold:.6g}: {percent(rejection.rejected)} of the "
                f"{counted(rejection.count, 'validation image')}. It is stored in {run}."
            )
    with progress_bar("Evaluating", "images") as progress:
        result = measure(
            run,
            data,
            members=with_,
            member_weights=member_weights,
            weights=weights,
            select=select,
            slices=slices,
            studies=studies,
            reestimate=reestimate_bn,
            unknown=unknown,
            neighbours=neighbours,
            projection=projection,
            corrupt=corruption or corrupt,
            severities=severity,
            shift=shift,
            full_provenance=full_provenance,
            **scoring.keywords(progress),
        )
    if report:
        page, _ = write_report(report, result)
        note(f"Report: {page}")
    if predictions is not None and result.predictions is not None:
        note(f"Predictions: {result.predictions.write(predictions)}")
    if json:
        print_json(result.to_dict())
        return 0
    if isinstance(result, MultilabelReport):
        print_label_report(result)
    else:
        print_report(result)
    return 0
