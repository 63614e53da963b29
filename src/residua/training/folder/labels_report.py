"""The end of a run of several labels an image: thresholds from the validation part, then the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from residua._base.signals import StopRequest
from residua._base.words import clock, counted
from residua.evaluation.multilabel.evaluate import label_scores, model_report, thresholds_on
from residua.evaluation.multilabel.report import MultilabelReport
from residua.evaluation.relation import relation
from residua.evaluation.scores.scores import Scores
from residua.families.build import build
from residua.specs.multilabel import LabelThresholds
from residua.training.recipe_file import to_dict
from residua.training.trainer import Trainer
from residua.training.trials.find_rate import read_search

LABEL_RATES = (
    *("split", "count", "mean_average_precision", "mean_average_precision_interval", "micro_f1", "macro_f1"),
    *("exact_match", "exact_match_interval", "hamming_loss", "loss"),
)
"""What the bundle states of the report."""


def evaluate_labels_of(trainer: Trainer, weights: Mapping[str, Tensor], stop: StopRequest) -> MultilabelReport:
    """Choose thresholds on the validation images, and return the report of the held-out part.

    Args:
        trainer: has the plan and the history.
        weights: those that become the run's.
        stop: asked between the passes.

    Raises:
        Stopped: a signal came.
    """
    plan = trainer.plan
    model = build(plan.spec).to(plan.hardware.device)
    model.load_state_dict(weights, strict=True)
    model.eval()
    dataset, recipe, initial = plan.dataset, to_dict(plan.recipe), plan.request.named_weights

    def scored(name: str) -> Scores:
        stop.check()
        device = plan.hardware.device
        return label_scores(model, dataset.splits[name], plan.preprocess, device=device, on_bad=plan.recipe.on_bad)

    thresholds, by_part = LabelThresholds.even(len(dataset.classes)), {}
    if plan.val is not None:
        part = plan.val.split.name
        by_part[part] = scored(part)
        thresholds = thresholds_on(by_part[part], part, dataset.hash)
    held_out = dataset.held_out
    scores = by_part[held_out] if held_out in by_part else scored(held_out)
    stop.check()
    data = dataset.describe(full=plan.request.full_provenance)
    missing = plan.request.missing_weights
    notes = [*data["notes"], *([f"training began with {initial}"] if initial else []), *([missing] if missing else [])]
    return model_report(
        model,
        scores,
        dataset.splits[held_out],
        plan.preprocess,
        dataset.classes,
        thresholds,
        device=plan.hardware.device,
        data=data | {"notes": notes, "evaluated": relation(held_out, own_data=True, recipe=recipe)},
        root=Path(dataset.location) if dataset.location else None,
        remarks=[missing] if missing else [],
        name=plan.folder.resolve().name,
        recipe=recipe,
        history=tuple(trainer.state.history),
        computed_with=trainer.computed_with(),
        rate_search=read_search(plan.folder),
    )


def closing_sentences(trainer: Trainer, report: MultilabelReport) -> list[str]:
    """Return what a run's last lines state: the result, and how it stands against guessing."""
    low, high = report.mean_average_precision_interval
    better = "Better than" if low > report.baseline else "Not shown to be better than"
    guessing = f"guessing has a mean average precision of {report.baseline:.2%}, the mean share of images with a label"
    return [
        f"{report.split} mean average precision {report.mean_average_precision:.2%} (95% interval {low:.2%} to "
        f"{high:.2%}, {counted(report.count, 'image')}), macro F1 {report.macro_f1:.2%}, exact match "
        f"{report.exact_match:.2%}, loss {report.loss:.4f} after {clock(trainer.state.seconds)}; see "
        f"{trainer.plan.folder}/report.html",
        f"{better} guessing: {guessing}",
    ]
