"""The end of a run: its bundle and its report are written, then its checkpoints go."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.files import writing
from residua._base.run_files import MODEL_FILE
from residua._base.signals import StopRequest
from residua._base.words import clock
from residua.evaluation.evaluate import evaluate_model
from residua.evaluation.multilabel.report import MultilabelReport
from residua.evaluation.relation import relation
from residua.evaluation.report.report import Report, write_report
from residua.families.build import build
from residua.training.folder.checkpoint import list_checkpoints, save_weights
from residua.training.folder.closing import one_label_sentences
from residua.training.folder.labels_report import LABEL_RATES, closing_sentences, evaluate_labels_of
from residua.training.recipe_file import to_dict
from residua.training.step.label_kind import MEASURES
from residua.training.trainer import Trainer
from residua.training.trials.find_rate import read_search
from residua.weights.bundle.write import save_bundle

_RATES = ("split", "count", "top1", "top1_interval", "top5", "balanced_accuracy", "macro_f1", "loss")
"""What the bundle states of the report."""


def finish(trainer: Trainer, stop: StopRequest) -> Report | MultilabelReport:
    """Evaluate the network, write the bundle and the report, then remove the checkpoints; return the report.

    The last checkpoint is the training's end, so that a run killed in here finishes from it. It goes last.

    Raises:
        InputError: the held-out images cannot be read; the message states that the training is saved, and how to go on.
        Stopped: a signal came; what is written already stays, and the run is resumed like any other.
    """
    plan = trainer.plan = trainer.plan.noted()
    report: Report | MultilabelReport
    try:
        report = evaluate_labels_of(trainer, _kept(trainer), stop) if trainer.multilabel else _evaluate(trainer, stop)
    except InputError as error:
        raise InputError(
            f"{error.given}, for the report of a training that is done and saved",
            error.wanted,
            f"{error.remedy}. Then make the report: {plan.request.command}",
        ) from error
    stop.check()
    request, initial = plan.request, plan.request.named_weights
    with writing(plan.folder / MODEL_FILE):
        save_bundle(
            plan.folder,
            tensors=_kept(trainer),
            spec=plan.spec,
            classes=plan.dataset.classes,
            preprocess=plan.preprocess,
            metrics=_metrics(trainer, report),
            data=plan.dataset.describe(full=request.full_provenance),
            recipe=to_dict(plan.recipe),
            initial_weights={"given": initial.given, "sha256": initial.sha256} if initial else None,
            multilabel=report.thresholds if isinstance(report, MultilabelReport) else None,
        )
        write_report(plan.folder, report)
        _keep_best_and_last(trainer)
    trainer.display.say(_kept_epoch(trainer))
    if isinstance(report, MultilabelReport):
        for sentence in closing_sentences(trainer, report):
            trainer.display.say(sentence)
        stop.check()
        return report
    for sentence in one_label_sentences(report, clock(trainer.state.seconds), plan.folder):
        trainer.display.say(sentence)
    stop.check()
    return report


def _kept_epoch(trainer: Trainer) -> str:
    """Return a sentence on the epoch whose weights became the run's."""
    state = trainer.state
    kept = f"Kept: the weights of epoch {state.best_epoch if _is_best_kept(trainer) else state.epoch}"
    if not state.best_epoch:
        return f"{kept}, the last"
    best = f"val {MEASURES[trainer.plan.recipe.keep_by]} {state.best_score:.2%}"
    return (
        f"{kept}, the best ({best})"
        if _is_best_kept(trainer)
        else f"{kept}, the last; best {best} of epoch {state.best_epoch}"
    )


def _kept(trainer: Trainer) -> dict[str, Any]:
    return trainer.best if _is_best_kept(trainer) else trainer.weights()


def _is_best_kept(trainer: Trainer) -> bool:
    keep = trainer.plan.recipe.keep
    return keep == "best" or (keep == "every" and bool(trainer.best))


def _evaluate(trainer: Trainer, stop: StopRequest) -> Report:
    plan = trainer.plan
    model = build(plan.spec).to(plan.hardware.device)
    model.load_state_dict(_kept(trainer), strict=True)
    dataset, recipe, initial = plan.dataset, to_dict(plan.recipe), plan.request.named_weights
    data = dataset.describe(full=plan.request.full_provenance)
    missing = plan.request.missing_weights
    notes = [*data["notes"], *([f"training began with {initial}"] if initial else []), *([missing] if missing else [])]
    report = evaluate_model(
        model.eval(),
        dataset.splits[dataset.held_out],
        plan.preprocess,
        dataset.classes,
        device=plan.hardware.device,
        progress=stop.check,
        views=plan.recipe.final_views,
        name=plan.folder.resolve().name,
        data=data | {"notes": notes, "evaluated": relation(dataset.held_out, own_data=True, recipe=recipe)},
        recipe=recipe,
        history=trainer.state.history,
        computed_with=trainer.computed_with(),
        root=Path(dataset.location) if dataset.location else None,
    )
    if missing:
        report = dataclasses.replace(report, remarks=(*report.remarks, missing))
    search = read_search(plan.folder)
    return report if search is None else dataclasses.replace(report, rate_search=search)


def _metrics(trainer: Trainer, report: Report | MultilabelReport) -> dict[str, Any]:
    state = trainer.state
    rates = LABEL_RATES if isinstance(report, MultilabelReport) else _RATES
    metrics = {name: getattr(report, name) for name in rates}
    metrics |= {"epochs": state.epoch, "steps": trainer.global_step, "computed_with": trainer.computed_with()}
    if trainer.plan.recipe.final_views != "1":
        metrics |= {"views": trainer.plan.recipe.final_views}
    if state.best_epoch:
        metrics |= {"best_epoch": state.best_epoch}
        metrics |= {} if trainer.multilabel else {"best_val_top1": state.best_top1}
        if (by := trainer.plan.recipe.keep_by) != "top1":
            metrics |= {f"best_val_{by}": state.best_score}
    return metrics


def _keep_best_and_last(trainer: Trainer) -> None:
    folder = trainer.plan.checkpoints
    states = {"last": trainer.weights()} | ({"best": trainer.best} if trainer.best else {})
    for name, tensors in states.items():
        save_weights(folder / f"{name}.safetensors", tensors)
    for path in list_checkpoints(folder):
        path.unlink()
