"""Training, from data to a finished run folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from residua._base.errors import InputError
from residua._base.files import atomic_path, writing
from residua._base.lock import exclusive
from residua._base.signals import Stopped, StopRequest
from residua.evaluation.evaluate import evaluate_model, relation
from residua.evaluation.report.report import write_report
from residua.families.build import build
from residua.specs.schema import Spec
from residua.training.checkpoint import list_checkpoints, remove_leftovers
from residua.training.plan import Plan, open_data, open_plan, write_plan
from residua.training.progress import Display, clock
from residua.training.recipe import Recipe
from residua.training.recipe_file import to_dict
from residua.training.request import ask, claim, is_finished, opening
from residua.training.trainer import Session
from residua.weights.bundle.write import save_bundle
from residua.weights.open import load
from residua.weights.run import Run


def train(
    data: str | Path,
    model: str | Spec | None = None,
    recipe: str | Path | Recipe | None = None,
    out: str | Path = "runs/latest",
    *,
    resume: bool = False,
    progress: bool = True,
    data_dir: Path | None = None,
    model_edits: dict[str, Any] | None = None,
    weights: str | Path | None = None,
    **overrides: Any,
) -> Run:
    """Train a network and leave a complete run folder: weights, config, report, history, recipe.

    Args:
        data: "digits", "cifar10", "cifar100", or a folder of class folders (see `residua.data.open`).
        model: a name of the catalog or a spec; "resnet18" by default, when resuming the run's own.
        recipe: a name, a TOML file or a `Recipe`; "fast" by default, when resuming the run's own.
        out: the run folder; it must hold no run, unless `resume`.
        resume: go on after the newest checkpoint. The final weights equal, bit for bit, those of a run that was
            never interrupted (on a CPU with the same number of threads).
        progress: whether stderr shows how it goes.
        data_dir: where downloaded archives lie.
        model_edits: fields of the spec to change, such as {"shortcut": "none"}.
        weights: to begin with, as for `create_model`; when resuming, the run's own. Their preprocessing becomes the
            run's; the classifier starts anew where its classes are others. None: drawn from the seed.
        overrides: fields of the recipe or of its augmentation, such as epochs=3, flip=False.

    Raises:
        InputError: anything unusable; out of memory; a full disk.
        Diverged: the loss turned NaN or infinite.
        Interrupted: SIGINT or SIGTERM came; a checkpoint is written, the message says how to resume.
    """
    asked = ask(
        data,
        model,
        recipe,
        out,
        resume=resume,
        data_dir=data_dir,
        model_edits=model_edits,
        weights=weights,
        **overrides,
    )
    folder = asked.folder
    new = not folder.exists()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder), Display(progress) as display, StopRequest(asked.command) as stop:
        claim(asked)
        if is_finished(folder):
            if asked.names_other_data:
                open_data(asked)
            display.say(f"{folder} is finished: nothing is left to do")
            return load(folder)
        for place in (folder, folder / "checkpoints"):
            remove_leftovers(place)
        with opening(asked, new), _memory_advice(asked.many, opened=False):
            session = Session(open_plan(asked), display)
            if not resume:
                session.begin()
        write_plan(session.plan)
        _introduce(session)
        with _memory_advice(session.plan.recipe, opened=True):
            if resume:
                session.restore()
            stop.wait()
            try:
                _fit(session, stop)
                _finish(session, stop)
            except Stopped:
                state = f"after step {session.global_step} of {session.plan.total_steps}; all is saved"
                raise stop.interrupted(stop.signal, state) from None
    return load(folder)


def _fit(session: Session, stop: StopRequest) -> None:
    while not session.done:
        for group in session.groups():
            session.step(group)
            if session.display.due():
                session.display.show(session.moment())
            _save(session, stop, due=session.checkpoint_due())
        try:
            session.validate(stop)
        except Stopped:
            session.save()
            raise
        _save(session, stop, due=session.done or session.cheap_to_save())


def _save(session: Session, stop: StopRequest, *, due: bool) -> None:
    # Read once: a signal that comes while this runs is left to the next step, lest it stop the run unsaved.
    stopping = stop.signal != 0
    if stopping or due:
        session.save()
    if stopping:
        raise Stopped


def _finish(session: Session, stop: StopRequest) -> None:
    """Write the bundle and the report, then let the checkpoints go.

    The last checkpoint is the training's end, so that a run killed in here finishes from it. It goes last.

    Raises:
        Stopped: a signal came; what is written already stays, and the run is resumed like any other.
    """
    plan, state = session.plan, session.state
    weights = session.best if plan.recipe.keep == "best" else session.weights()
    initial = plan.request.initial
    model = build(plan.spec).to(plan.hardware.device)
    model.load_state_dict(weights, strict=True)
    dataset, recipe = plan.dataset, to_dict(plan.recipe)
    notes = [*dataset.describe()["notes"], *([f"training began with {initial.public}"] if initial else [])]
    report = evaluate_model(
        model.eval(),
        dataset.splits[dataset.held_out],
        plan.preprocess,
        dataset.classes,
        device=plan.hardware.device,
        progress=stop.heed,
        name=plan.folder.resolve().name,
        data=dataset.describe()
        | {"notes": notes, "evaluated": relation(dataset.held_out, own_data=True, recipe=recipe)},
        recipe=recipe,
        history=state.history,
        root=Path(dataset.location) if dataset.location else None,
    )
    rates = ("split", "count", "top1", "top1_interval", "top5", "loss")
    metrics = {name: getattr(report, name) for name in rates}
    metrics |= {"epochs": state.epoch, "steps": session.global_step}
    if state.best_epoch:
        metrics |= {"best_epoch": state.best_epoch, "best_val_top1": state.best_top1}
    stop.heed()
    with writing(plan.folder / "model.safetensors"):
        save_bundle(
            plan.folder,
            tensors=weights,
            spec=plan.spec,
            classes=dataset.classes,
            preprocess=plan.preprocess,
            metrics=metrics,
            data=dataset.describe(),
            recipe=recipe,
            initial_weights={"given": initial.public.given, "sha256": initial.sha256} if initial else None,
        )
        write_report(plan.folder, report)
        _keep_best_and_last(session)
    low, high = report.top1_interval
    session.display.say(
        f"{report.split} accuracy {report.top1:.2%} (95% interval {low:.2%} to {high:.2%}, {report.count} images) "
        f"after {clock(state.seconds)}; see {plan.folder}/report.html"
    )
    stop.heed()


def _keep_best_and_last(session: Session) -> None:
    folder = session.plan.checkpoints
    states = {"last": session.weights()} | ({"best": session.best} if session.best else {})
    for name, tensors in states.items():
        with atomic_path(folder / f"{name}.safetensors") as beside:
            save_file({key: value.cpu().contiguous() for key, value in tensors.items()}, beside)
    for path in list_checkpoints(folder):
        path.unlink()


def _introduce(session: Session) -> None:
    plan, say = session.plan, session.display.say
    counts = ", ".join(f"{len(split):,} {name}" for name, split in plan.dataset.splits.items())
    parameters = sum(parameter.numel() for parameter in session.model.parameters())
    say(f"{plan.spec.name} ({parameters:,} parameters) on {plan.dataset.given}: {counts}")
    for note in plan.dataset.notes:
        say(note)
    say(f"{session.hardware.sentence}; {session.engine.name} kernels ({session.engine.reason})")
    say(f"Recipe {plan.recipe.name}: {plan.recipe.epochs} epochs, {plan.total_steps:,} steps of {_images(plan)} images")


def _images(plan: Plan) -> str:
    size, many = plan.recipe.batch_size, plan.recipe.accumulate_steps
    return f"{many} × {size}" if many > 1 else str(size)


@contextlib.contextmanager
def _memory_advice(recipe: Recipe, *, opened: bool) -> Iterator[None]:
    """Turn running out of memory into an error that names what takes it, and the flag."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        words = ("out of memory", "can't allocate memory", "not enough memory")
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and not any(text in str(error) for text in words):
            raise
        device = "the GPU" if isinstance(error, torch.OutOfMemoryError) else "the CPU"
        if not opened:
            raise InputError(
                f"out of memory on {device} while the data was opened: {recipe.image_size} pixels",
                "room for the decoded images, and for one at full size in each decoding thread",
                "Use --workers 1 or a smaller --image-size; images that do not fit a GPU fit --device cpu",
            ) from error
        raise InputError(
            f"out of memory on {device}: batch_size={recipe.batch_size}, {recipe.image_size} pixels",
            "a batch whose activations fit",
            f"Use --batch-size {max(1, recipe.batch_size // 2)} --accumulate-steps {recipe.accumulate_steps * 2} for "
            f"the same images a step, with another --out",
        ) from error
