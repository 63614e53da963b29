"""Evaluate a run or a network: one pass over a split, and its report."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Unpack

from torch import nn

from residua._base.errors import InputError
from residua._base.run_files import REPORT_PAGE
from residua._base.words import agree, counted
from residua.data.dataset import Split
from residua.evaluation.alone import Additions
from residua.evaluation.batch_norm import Reestimation
from residua.evaluation.ensemble_runs import (
    Weights,
    describe_all,
    ensemble_runs,
    open_weighing,
    reestimated_runs,
)
from residua.evaluation.likeness import Projection
from residua.evaluation.measures.ensemble import heaviest
from residua.evaluation.measures.slices import Slice, Table, match, read_table
from residua.evaluation.measures.slices import slices as slice_by
from residua.evaluation.multilabel.evaluate import evaluate_labels
from residua.evaluation.multilabel.report import MultilabelReport
from residua.evaluation.relation import facts
from residua.evaluation.report.assemble import assemble, describe
from residua.evaluation.report.history import read_history
from residua.evaluation.report.report import Report
from residua.evaluation.report.study_section import FinishedStudy, read_study
from residua.evaluation.run_data import members_of, open_run, open_runs
from residua.evaluation.scores.options import PassKeywords, ScoreKeywords, ScoreOptions, takes
from residua.evaluation.scores.scorer import Scorer, open_scorer
from residua.evaluation.scores.scores import Scores, collect
from residua.evaluation.scores.seen import check_unseen
from residua.specs.preprocess import PreprocessSpec
from residua.weights.run import Run


@functools.cache
def warn_of_weights() -> None:
    """Warn once that the former name of `member_weights` is used."""
    warnings.warn(
        "weights=… of an evaluation is called member_weights=… now, as training begins with weights=…; the old name "
        "goes with the next release",
        stacklevel=3,
    )


@takes(ScoreKeywords)
def evaluate(
    run: Run | Path | str,
    data: str | Path | None = None,
    *,
    members: Sequence[Run | Path | str] = (),
    member_weights: Weights = "equal",
    select: Literal["greedy"] | None = None,
    slices: Path | str | None = None,
    studies: Sequence[FinishedStudy | Path | str] = (),
    reestimate: bool = False,
    unknown: Path | str | None = None,
    neighbours: bool = False,
    projection: Projection = "pca",
    corrupt: bool | Sequence[str] = False,
    severities: Sequence[int] = (),
    shift: Path | str | None = None,
    full_provenance: bool = False,
    weights: Weights | None = None,
    **options: Unpack[ScoreKeywords],
) -> Report | MultilabelReport:
    """Evaluate a run, or several as an ensemble: one pass per view set, and every number from its scores.

    A run of several labels an image is evaluated alone: `members`, `select`, `slices`, `studies`, `reestimate`,
    `unknown`, `neighbours`, `corrupt` and `shift` are refused. Its report is a `MultilabelReport`.

    Args:
        run: a `Run` or its folder; or the folder of a cross-validation (`train_folds`), whose folds are the members.
        data: what `residua train` takes. By default, and where this is the data that the run was trained on, its
            held-out part is evaluated: test, else validation. Of other data it is test, else validation, else all. Data
            may lack classes of the run: rates are then counted over the others.
        members: other runs with the same classes, in any order; their probabilities are averaged with the run's.
        member_weights: "equal" in that average, or "val" for the least cross-entropy on the run's validation part.
        select: "greedy" takes only the members that greedy forward selection on the validation part chooses.
        slices: a CSV file with a column `path` and others; results are given for each of their values.
        studies: folders of finished studies (`residua.study`) to show in the page.
        reestimate: first set batch normalisation's statistics to the exact moments over the run's training part, under
            the evaluation transform. The run's files stay as they are.
        unknown: a folder of images that belong to no class: how well they are recognised as unknown.
        neighbours: add the training images most like the worst mistakes, and a map of the images; the training images
            pass through the network for it.
        projection: of that map: "pca", or "umap" (extra umap).
        corrupt: True measures the 15 common corruptions of the images (Hendrycks & Dietterich 2019), a list of names
            some of them. Each is applied after resize and crop.
        severities: of the corruptions, 1 (slight) to 5 (severe); none for all five.
        shift: a second set of images with the same classes, to be scored and compared.
        full_provenance: whether the report states places on this machine; by default it names data by the last part of
            the path, and files relative to the data.
        weights: the former name of `member_weights`, for one release.
        options: which part is scored and how: `split`, `views`, `batch_size`, `device`, `engine`, `precision`,
            `on_bad`, `cache`, `data_dir`, `progress`; see `ScoreOptions`.

    Raises:
        InputError: the run's data is gone or has changed; it has classes that the run does not know; no such split; bad
            files; views that a network cannot take; a member that has learnt from these images; a table that does
            not fit them; no validation part where one is needed; a folder that is no finished study; an unknown
            corruption.
    """
    if weights is not None:
        member_weights = weights
        warn_of_weights()
    scoring = ScoreOptions(data=data, **options)
    additions = Additions.of(unknown, neighbours, projection, corrupt, severities, shift)
    finished = tuple(read_study(each) for each in studies)
    first_run, *folds = members_of(run)
    opened = open_run(first_run, [data], multilabel=True)
    if opened.multilabel is not None:
        others: dict[str, Any] = {"members": [*folds, *members], "select": select, "slices": slices, "studies": studies}
        others |= {"reestimate": reestimate, "unknown": unknown, "neighbours": neighbours, "shift": shift}
        others |= {"corrupt": corrupt if isinstance(corrupt, bool) else list(corrupt)}
        others |= {"member_weights": "" if member_weights == "equal" else member_weights}
        return evaluate_labels(opened, scoring, others, full_provenance=full_provenance)
    runs = open_runs([opened, *folds, *members])
    table = None if slices is None else read_table(slices)
    scorer = open_scorer(runs, scoring)
    if folds and scorer.own and scorer.split != "test":
        raise InputError(
            f"{run} on the images that its folds have learnt from",
            "images that all folds have held out: a test part, or other data",
            f"Name them; how each fold does on what it held out stands in {Path(str(run)) / REPORT_PAGE}",
        )
    first, dataset = runs[0], scorer.dataset
    part = scorer.part(first)
    keys = match(table, dataset, part) if table is not None else []
    notes = _notes(scorer, first)
    weighing = open_weighing(runs, scorer, member_weights, select)
    notes += [
        note for each in runs[1:] if (note := check_unseen(each, dataset, scorer.split, "score it", compared=True))
    ]
    notes += weighing.notes
    reestimated: Reestimation | None = None
    if reestimate:
        runs, reports = reestimated_runs(runs, scorer)
        first, reestimated = runs[0], reports[0]
        notes += [
            _unsettled(run, estimate) for run, estimate in zip(runs, reports, strict=True) if not estimate.settled
        ]
    single = len(runs) == 1 and scoring.views == "1" and not reestimate
    additions.check_single(single)
    scores, ensemble = ensemble_runs(runs, scorer, weighing)
    history, damage = read_history(first.folder)
    notes += [damage] * bool(damage)
    if table is not None and (without := sum(keys[int(i)] is None for i in scores.indices)):
        verbs = agree(without, "has", "have"), agree(without, "it is", "they are")
        notes.append(f"{without} of these images {verbs[0]} no row in {table.path.name}: {verbs[1]} in no slice")
    # An average has no maps of its own: the member with the largest weight explains the mistakes.
    explainer = runs[heaviest(ensemble.members)] if ensemble else first
    by_value, left_out = _slices(table, keys, scores)
    notes += left_out
    if not full_provenance:
        notes = [dataset.relative(note) for note in notes]
    report = assemble(
        scores,
        describe(first.model, first.preprocess_spec) if len(runs) == 1 else describe_all(runs),
        part,
        explainer.preprocess_spec,
        first.classes,
        device=scoring.where,
        network=explainer.model,
        network_classes=explainer.classes,
        fitted=first.calibration if single else None,
        data=dataset.describe(full=full_provenance) | facts(runs, scorer, notes, full=full_provenance),
        root=Path(dataset.location) if dataset.location else None,
    )
    return replace(
        report,
        name=" + ".join(each.name for each in runs),
        recipe=first.recipe,
        computed_with=first.metrics.get("computed_with"),
        history=history,
        slices=by_value,
        ensemble=ensemble,
        reestimated=reestimated,
        studies=finished,
        remarks=tuple(notes),
        **(additions.findings(first, scorer, scores, report) if single else {}),
    )


@takes(PassKeywords)
def evaluate_model(
    model: nn.Module,
    split: Split,
    preprocess: PreprocessSpec,
    classes: Sequence[str],
    *,
    name: str = "",
    data: dict[str, Any] | None = None,
    recipe: dict[str, Any] | None = None,
    history: Sequence[dict[str, Any]] = (),
    computed_with: dict[str, Any] | None = None,
    root: Path | None = None,
    views: str = "1",
    **options: Unpack[PassKeywords],
) -> Report:
    """Evaluate a network on a split whose labels index `classes`, and return the full report.

    `name`, `data`, `recipe`, `history` and `computed_with` are passed on to it; file names are given relative to
    `root`, and `views` names one view set. `options` are `batch_size`, `device`, `engine`, `precision`, `on_bad` (by
    default the recipe's) and `progress`; see `ScoreOptions`.

    Raises:
        InputError: an empty split, a bad file, an option out of range.
        NotFinite: the logits hold NaN or infinity.
    """
    scoring = ScoreOptions(**options)
    scores = collect(
        model,
        split,
        preprocess,
        scoring,
        num_classes=len(classes),
        views=views,
        on_bad=scoring.on_bad or (recipe or {}).get("on_bad", "refuse"),
        progress=scoring.progress,
    )
    report = assemble(
        scores,
        describe(model, preprocess),
        split,
        preprocess,
        classes,
        device=scoring.where,
        network=model,
        data=data,
        root=root,
    )
    return replace(report, name=name, recipe=recipe, history=tuple(history), computed_with=computed_with)


def _notes(scorer: Scorer, run: Run) -> list[str]:
    notes = []
    spec = run.preprocess_spec
    if "10crop" in scorer.options.view_sets and spec.resize == spec.image_size:
        notes.append("the crop is as large as the resized image: of square images the ten crops are two views")
    fitted = run.calibration or {}
    if fitted.get("data_hash") == scorer.dataset.hash and fitted.get("split") == scorer.split:
        notes.append("the temperature was fitted on these same images: their calibration flatters it")
    return notes


def _unsettled(run: Run, reestimated: Reestimation) -> str:
    return (
        f"the batch normalisation of {run.name} has not settled: after "
        f"{counted(reestimated.passes, 'pass', 'passes')} over its "
        f"images statistics were still off by {reestimated.change:.2g} of a deviation or a variance"
    )


def _slices(
    table: Table | None, keys: Sequence[str | None], scores: Scores
) -> tuple[tuple[Slice, ...], tuple[str, ...]]:
    if table is None:
        return (), ()
    return slice_by(table, [keys[int(index)] for index in scores.indices], scores.outcome)
