"""`residua evaluate`: one call of `residua.evaluate`, and of `calibrate` before it where that is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from residua._base.console import progress_bar
from residua._base.errors import InputError
from residua._base.words import agree, counted, some
from residua.cli.score_flags import SCORING, Scoring
from residua.cli.show import Switch, check_target, note, percent, print_json, say
from residua.cli.tables import print_table
from residua.specs.rejection import ScoreName

if TYPE_CHECKING:
    from residua.evaluation.measures.ensemble import Ensemble
    from residua.evaluation.measures.metrics import ClassMetrics
    from residua.evaluation.report.report import Report

_SLICES_SHOWN = 40  # about a screen


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
    reestimate_bn
        First re-estimate batch normalisation's statistics over the training part under the evaluation transform.
        The run itself stays as it is.
    report
        A folder to write report.html and report.json to.
    predictions
        A file for the answer to each image: .csv, or .parquet (extra shards). It has columns for path, label, predicted
        class, probabilities and loss.
    full_provenance
        State paths of this machine in the report; left out: data by the last part of its path, files relative to it.
    json
        Print the report as one JSON document.
    """
    from residua.evaluation.calibrate import calibrate as fit
    from residua.evaluation.evaluate import evaluate as measure
    from residua.evaluation.report.predictions import check_ending
    from residua.evaluation.report.report import write_report
    from residua.evaluation.report.study_section import read_study
    from residua.evaluation.run_data import open_run

    if predictions is not None:
        check_ending(predictions)
        check_target(predictions)
    if calibrate and (with_ or reestimate_bn or scoring.views != ("1",)):
        raise InputError(
            "--calibrate with --with, --reestimate-bn or --views",
            "one run as `residua predict` uses it: a temperature belongs to its centre crop",
            "Calibrate first, then evaluate: two commands",
        )
    if reject is not None and not calibrate:
        raise InputError("--reject without --calibrate", "both", "Add --calibrate")
    studies = [read_study(folder) for folder in study]
    if report:
        # Created first: a folder that cannot be written to must not cost a pass over the data.
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
    _print(result)
    return 0


def _print(result: Report) -> None:
    low, high = result.top1_interval
    say(
        f"{result.name} on {result.data['given']}, {result.split}: {counted(result.count, 'image')}, "
        f"{counted(len(result.classes), 'class', 'classes')}"
    )
    if result.uneven:
        ends = " to ".join(map(percent, result.balanced_accuracy_interval or ()))
        say(
            f"balanced accuracy {percent(result.balanced_accuracy)} (95% interval {ends})   "
            f"macro F1 {percent(result.macro_f1)}"
        )
    say(f"top-1 {percent(result.top1)} (95% interval {percent(low)} to {percent(high)})")
    # Of at most five classes the true one is always among the first five.
    top5 = f"top-5 {percent(result.top5)}   " if len(result.classes) > 5 else ""
    say(f"{top5}loss {result.loss:.4f}   always the most frequent class: {percent(result.baseline)}")
    if result.calibration and result.abstention and result.brier is not None:
        rows = (
            f"Brier {result.brier:.4f}   ECE {percent(result.calibration.ece)}   MCE {percent(result.calibration.mce)}"
        )
        say(f"{rows}   AURC {result.abstention.aurc:.4f}")
    if result.views != "1":
        say(f"views: {result.views}")
    if done := result.reestimated:
        say(
            f"batch normalisation: {counted(done.layers, 'layer')} re-estimated over {counted(done.count, 'image')}, "
            f"{counted(done.passes, 'pass', 'passes')}, "
            f"the last of which found them within {percent(done.change)}"
        )
    if (calibrated := result.calibrated) is not None:
        rates = f"loss {calibrated.loss:.4f}   Brier {calibrated.brier:.4f}   ECE {percent(calibrated.calibration.ece)}"
        say(f"with temperature {calibrated.temperature:.4f}: {rates}")
        for row in calibrated.thresholds:
            reached = "never reached on the validation part" if row.probability is None else ""
            if row.probability is not None:
                right = "none" if row.accuracy is None else percent(row.accuracy)
                reached = f"from {percent(row.probability)} on; here {percent(row.coverage)} answered, {right} right"
            say(f"  for {row.wanted:.0%} right: {reached}")
    _print_unknown(result)
    if result.ensemble:
        _print_ensemble(result.ensemble)
    for each in result.studies:
        say(f"study {each.name}, {each.form} form: {each.question} {each.answer.capitalize()}. {each.sentence}")
    for sentence in result.data["notes"]:
        note(f"Note: {sentence}.")
    if result.absent:
        note(f"Note: without images here, and therefore not measured: {some(result.absent, 12)}.")
    say()
    if result.slices:
        print_table(
            ("slice", "value", "top-1", "95% interval", "loss", "images"),
            [
                (
                    s.column,
                    s.value,
                    percent(s.top1),
                    " to ".join(map(percent, s.top1_interval)),
                    f"{s.loss:.4f}",
                    str(s.count),
                )
                for s in result.slices[:_SLICES_SHOWN]
            ],
            right=(2, 3, 4, 5),
        )
        if len(result.slices) > _SLICES_SHOWN:
            more = len(result.slices) - _SLICES_SHOWN
            say(f"and {counted(more, 'more slice')}: --json has {agree(more, 'it', 'them all')}")
        say()
    print_table(
        ("class", "precision", "recall", "F1", "images"),
        [(c.name, *_rates(c), str(c.support)) for c in result.per_class],
        right=(1, 2, 3, 4),
    )


def _print_unknown(result: Report) -> None:
    if (effect := result.rejection) is not None:
        right = "" if effect.accuracy is None else f"; of the others {percent(effect.accuracy)} right"
        say(f"unknown ({effect.score} above {effect.threshold:.6g}): {percent(effect.rejected)} of these images{right}")
    if (unknown := result.unknown) is not None:
        caught = "" if unknown.rejected is None else f", of which {percent(unknown.rejected)} are answered unknown"
        say(f"{counted(unknown.count, 'image')} of no class, from {unknown.folder}{caught}")
        for row in unknown.detections:
            say(f"  {row.score:12} AUROC {row.auroc:.4f}   FPR95 {percent(row.fpr95)}")


def _rates(row: ClassMetrics) -> tuple[str, str, str]:
    """Return precision, recall and F1 for the table; what no image decides is no number."""
    if not row.support:
        return "–", "–", "–"
    return percent(row.precision) if row.predicted else "–", percent(row.recall), percent(row.f1)


def _print_ensemble(ensemble: Ensemble) -> None:
    say()
    print_table(
        ("member", "network", "weight", "top-1", "loss"),
        [(m.name, m.model, f"{m.weight:.3f}", percent(m.top1), f"{m.loss:.4f}") for m in ensemble.members],
        right=(2, 3, 4),
    )
    if ensemble.alone:
        say(f"weights: {ensemble.weights}")
        say(f"{ensemble.alone} alone has a weight: the answers are its own, and nothing is averaged.")
        return
    say()
    print_table(
        ("pair", "disagree", "both wrong", "errors correlate"),
        [
            (
                f"{pair.first}, {pair.second}",
                percent(pair.disagreement),
                percent(pair.double_fault),
                "–" if pair.error_correlation is None else f"{pair.error_correlation:.3f}",
            )
            for pair in ensemble.diversity
        ],
        right=(1, 2, 3),
    )
    test = ensemble.against_best
    say(f"weights: {ensemble.weights}")
    say(
        f"against the best member, {ensemble.best}: {100 * test.difference:+z.2f} points "
        f"(95% {100 * test.interval[0]:+z.2f} to {100 * test.interval[1]:+z.2f}), p = {test.p:.4g} "
        f"(McNemar, {test.method}: {test.only_first} and {test.only_second} images differ)"
    )
