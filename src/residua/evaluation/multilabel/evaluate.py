"""Evaluate a run of several labels an image: one pass, thresholds from its validation part, and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from residua._base.errors import InputError
from residua._base.words import agree
from residua.data.dataset import Split
from residua.evaluation.multilabel.assemble import assemble_labels
from residua.evaluation.multilabel.label_metrics import choose_thresholds
from residua.evaluation.multilabel.report import MultilabelReport
from residua.evaluation.relation import facts
from residua.evaluation.report.assemble import describe, with_notes
from residua.evaluation.report.history import read_history
from residua.evaluation.scores.options import ScoreOptions
from residua.evaluation.scores.scorer import Scorer, open_scorer
from residua.evaluation.scores.scores import Scores, collect
from residua.specs.fields import BadPolicy
from residua.specs.multilabel import LabelThresholds
from residua.specs.preprocess import PreprocessSpec
from residua.weights.run import Run


def evaluate_labels(
    run: Run, options: ScoreOptions, others: Mapping[str, Any], *, full_provenance: bool
) -> MultilabelReport:
    """Return the report of a run of several labels an image; see `residua.evaluate`.

    Args:
        run: the run.
        options: which part is scored and how.
        others: further arguments of `evaluate`; those that are set are refused.
        full_provenance: whether the report states places on this machine.

    Raises:
        InputError: an argument for one label an image; errors of `evaluate`.
    """
    assert run.multilabel is not None
    if asked := [name for name, value in others.items() if value]:
        names = " and ".join(f"{name}=…" for name in asked)
        raise InputError(
            f"{names} for {run.name}, a run whose images may have several labels",
            f"no {names}, {agree(len(asked), 'which is', 'which are')} not measured of a run of several labels",
            f"Leave {agree(len(asked), 'it', 'them')} out",
        )
    scorer = open_scorer([run], options)
    scores = scorer.scores(run)
    history, damage = read_history(run.folder)
    notes = [*_notes(run, scorer), *([damage] if damage else [])]
    dataset = scorer.dataset
    if not full_provenance:
        notes = [dataset.relative(note) for note in notes]
    report = assemble_labels(
        scores,
        describe(run.model, run.preprocess_spec),
        scorer.part(run),
        run.preprocess_spec,
        run.classes,
        run.multilabel,
        device=options.where,
        network=run.model,
        data=dataset.describe(full=full_provenance) | facts([run], scorer, notes, full=full_provenance),
        root=Path(dataset.location) if dataset.location else None,
    )
    return replace(
        report,
        name=run.name,
        recipe=run.recipe,
        computed_with=run.metrics.get("computed_with"),
        history=history,
        remarks=tuple(notes),
    )


def label_scores(
    model: nn.Module, split: Split, preprocess: PreprocessSpec, *, device: torch.device, on_bad: BadPolicy
) -> Scores:
    """Return the scores of a network for images of several labels, of the centre crop.

    Raises:
        InputError: an empty split or a bad file.
        NotFinite: the logits hold NaN or infinity.
    """
    options = ScoreOptions(device=device)
    return collect(model, split, preprocess, options, num_classes=split.labels.shape[1], on_bad=on_bad)


def thresholds_on(scores: Scores, split: str, data_hash: str) -> LabelThresholds:
    """Return the thresholds of the greatest F1 on these images."""
    return LabelThresholds(choose_thresholds(scores.logits, scores.labels), split, len(scores.labels), data_hash)


def model_report(
    model: nn.Module,
    scores: Scores,
    split: Split,
    preprocess: PreprocessSpec,
    classes: Sequence[str],
    thresholds: LabelThresholds,
    *,
    device: torch.device,
    data: Mapping[str, Any],
    root: Path | None,
    remarks: Sequence[str] = (),
    **stated: Any,
) -> MultilabelReport:
    """Return the report of a network that is in memory; `stated` are further fields of it, such as its name."""
    report = assemble_labels(
        scores,
        describe(model, preprocess),
        split,
        preprocess,
        classes,
        thresholds,
        device=device,
        network=model,
        data=data,
        root=root,
    )
    chosen = same_images(thresholds, split.name, own=True)
    return replace(report, data=with_notes(report.data, chosen), remarks=(*remarks, *chosen), **stated)


def same_images(thresholds: LabelThresholds, split: str, *, own: bool) -> list[str]:
    """Return a sentence where the thresholds were chosen on the images that they are judged on."""
    if not own or not thresholds.count or thresholds.split != split:
        return []
    return ["the thresholds were chosen on these same images: F1 and exact match flatter, average precision does not"]


def _notes(run: Run, scorer: Scorer) -> list[str]:
    assert run.multilabel is not None
    own = scorer.dataset.hash == run.multilabel.data_hash
    return same_images(run.multilabel, scorer.split, own=own)
