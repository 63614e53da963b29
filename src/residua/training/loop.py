"""Training, from data to a finished run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from residua._base.console import Display
from residua._base.files import writing
from residua._base.lock import exclusive
from residua._base.signals import Stopped, StopRequest
from residua._base.words import counted, worded
from residua.data.splitting import UNEVEN, unevenness
from residua.data.tables.label_table import ColumnNames, label_table
from residua.runtime.waiting import waiting_sentence
from residua.specs.preprocess import describe
from residua.specs.schema import Spec
from residua.training.epoch_table import header, row
from residua.training.finish import finish
from residua.training.folder.checkpoint import epoch_path, remove_leftovers
from residua.training.folder.claim import claim, opening
from residua.training.folder.run_folder import checkpoints_of, is_finished
from residua.training.pictures import batch_picture, confusion_picture
from residua.training.plan import Plan, check_content, open_data, write_plan
from residua.training.profile import Profiler
from residua.training.recipe import Recipe
from residua.training.recipe_file import to_dict
from residua.training.request import ask
from residua.training.resume import resume as resume_from_checkpoint
from residua.training.step.guessing import far_above_guessing
from residua.training.step.memory import advice_while_opening, advice_while_training
from residua.training.step.probe import probe
from residua.training.tracking.choose import Track, choose_trackers
from residua.training.tracking.follow import Following, final_numbers, following, run_config
from residua.training.tracking.record import TrackRecord
from residua.training.trainer import Diverged, Trainer
from residua.training.trials.range_test import EARLY, STEPS, range_test
from residua.training.trials.settle import settled_plan
from residua.weights.bundle.value import versions
from residua.weights.open import load
from residua.weights.run import Run

_EARLY_EPOCHS = 3  # whose losses are compared with that of guessing: a later rise has other reasons
_CLASSES_SHOWN = 8  # of each end of the list


def train(
    data: str | Path,
    model: str | Spec | None = None,
    recipe: str | Path | Recipe | None = None,
    out: str | Path = "runs/latest",
    *,
    resume: bool = False,
    progress: bool = True,
    data_dir: Path | None = None,
    labels: str | Path | None = None,
    columns: ColumnNames = None,
    groups: str | None = None,
    model_edits: dict[str, Any] | None = None,
    weights: str | Path | None = None,
    full_provenance: bool = False,
    corrections: str | Path | None = None,
    track: Track = None,
    find_rate: bool = False,
    profile: bool = False,
    **overrides: Any,
) -> Run:
    """Train a network and leave a complete run folder: weights, config, report, history, recipe.

    Args:
        data: "digits", "cifar10", "cifar100", or a folder of class folders (see `residua.data.open`); with `labels`, a
            folder of images.
        model: a name of the catalog or a spec; "resnet18" by default, when resuming the run's own.
        recipe: a name, a TOML file or a `Recipe`; "fast" by default, when resuming the run's own.
        out: the run folder; it must hold no run, unless `resume`.
        resume: go on after the newest checkpoint. The final weights equal, bit for bit, those of a run that was
            never interrupted (on a CPU with the same number of threads).
        progress: whether stderr shows where the run stands.
        data_dir: where downloaded archives lie.
        labels: a table with a row per image, CSV or parquet: `path,label[,split][,group]`; when resuming, the run's
            own. Paths are relative to `data` or to the table, with or without their endings. With a label "a;b" in any
            row, an image may have several labels, or none.
        columns: names of its columns by role, such as "path=image_id,label=breed"; usual names are recognised.
        groups: the column of what belongs together, such as a patient: no group crosses parts.
        model_edits: fields of the spec to change, such as {"shortcut": "none"}.
        weights: to begin with, as for `create_model`, or "published" or "none"; when resuming, the run's own. Their
            preprocessing becomes the run's; where its classes differ, the classifier starts from fresh weights. None:
            what the recipe states. "fast" begins networks for photos with published weights, see `residua weights`;
            where they cannot be had, a warning states so, and the weights are drawn from the seed.
        full_provenance: whether bundle, report and recipe.toml state places on this machine; by default they name data
            and weights by the last part of the path. Secrets of an address stand in none of them.
        corrections: a CSV file with the columns path and label, as `residua doubt` writes it. Images get that
            label, and are left out where it is empty. When resuming, the run's own.
        track: what follows the run: "wandb", "mlflow", "trackio", "tensorboard", or objects with the methods of
            `residua.training.tracking.tracker.Tracker`. When resuming, those named before; [] for none. history.jsonl
            is written in any case.
        find_rate: search a learning rate before the first step, draw the search in the report, and train with the rate
            that it suggests (`residua.training.trials.find_rate`); a resumption goes on with that rate.
        profile: measure where the time of the first steps goes, into `profile/` of the run folder; see
            `residua.training.profile`.
        overrides: fields of the recipe or of its augmentation, such as epochs=3, flip=False; batch_size="auto" for
            the largest that fits.

    Raises:
        InputError: unusable input; data that changed before a resumption; out of memory; a full disk.
        Diverged: the loss turned NaN or infinite.
        Interrupted: SIGINT or SIGTERM came; a checkpoint is written, and the message names the command that resumes.
    """
    request = ask(
        data,
        model,
        recipe,
        out,
        resume=resume,
        data_dir=data_dir,
        table=label_table(labels, columns, groups),
        model_edits=model_edits,
        weights=weights,
        full_provenance=full_provenance,
        corrections=corrections,
        find_rate=find_rate,
        **overrides,
    )
    folder = request.folder
    trackers = choose_trackers(TrackRecord.read(folder).names if resume and track is None else track, folder)
    new = not folder.exists()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder), Display(progress) as display, StopRequest(request.command) as stop:
        claim(request)
        if is_finished(folder):
            if request.names_other_data:
                check_content(request, open_data(request))
            display.say(
                f"{folder} is finished: nothing is left to do. To train on, begin another run with its weights: "
                f"{request.command_to_train_on}"
            )
            return load(folder)
        for swept in (folder, checkpoints_of(folder)):
            remove_leftovers(swept)
        with opening(request, new=new), advice_while_opening(request.recipes.large):
            plan, search = settled_plan(request, display, stop)
            trainer = Trainer(plan, display)
            if not resume:
                trainer.begin()
        if search is not None:
            search.write(folder)
        write_plan(trainer.plan)
        _introduce(trainer)
        with advice_while_training(trainer.plan.recipe), following(trackers, folder, display) as follow:
            if resume:
                resume_from_checkpoint(trainer)
            _follow(trainer, follow)
            stop.wait()
            try:
                _fit(trainer, stop, follow, _profiler(trainer) if profile else None)
                report = finish(trainer, stop)
                if follow.active:
                    follow.numbers(trainer.global_step, final_numbers(report.to_dict()))
                    if (confusion := getattr(report, "confusion", None)) is not None:
                        follow.image(trainer.global_step, "confusion", confusion_picture(confusion, report.classes))
            except Stopped:
                state = f"after step {trainer.global_step} of {trainer.plan.total_steps}; all is saved"
                raise stop.interrupted(stop.signal, state) from None
    return load(folder)


def _follow(trainer: Trainer, follow: Following) -> None:
    """Send the trackers how the run was begun, what they lack of its history, and its first batch."""
    if not follow.active:
        return
    plan = trainer.plan
    initial = plan.request.named_weights
    config = run_config(
        spec=plan.spec,
        recipe=to_dict(plan.recipe),
        data=plan.dataset.describe(full=plan.request.full_provenance),
        classes=plan.dataset.classes,
        initial_weights={"given": initial.given, "sha256": initial.sha256} if initial else None,
        versions=versions(),
    )
    follow.start(config)
    if not trainer.global_step:
        batch = next(iter(plan.train.epoch(0)))
        follow.image(0, "first_batch", batch_picture(batch, plan.preprocess, plan.dataset.classes))
    follow.history(trainer.state.history)


def _profiler(trainer: Trainer) -> Profiler:
    recipe = trainer.plan.recipe
    images = recipe.batch_size * recipe.accumulate_steps
    profiler = Profiler(trainer.plan.folder, trainer.plan.hardware.device, images, trainer.display.say)
    trainer.watch = profiler.watch
    return profiler


def _fit(trainer: Trainer, stop: StopRequest, follow: Following, profiler: Profiler | None) -> None:
    try:
        _train(trainer, stop, follow, profiler)
    except Diverged as error:
        raise _advised(error, trainer, stop) from None


def _advised(error: Diverged, trainer: Trainer, stop: StopRequest) -> Diverged:
    """Return the error with a learning rate to try, which a test has found, where the run diverged at once."""
    if error.step >= EARLY:
        return error
    trainer.display.say(f"The run diverged at once: a test of at most {STEPS} steps looks for a learning rate")
    outcome = range_test(trainer, stop)
    if outcome is None or outcome.learning_rate is None:
        return error
    advice = (
        f"Try learning_rate={outcome.learning_rate:g}: in a test from the same start, over {outcome.steps} steps at "
        f"rising rates, the loss was lowest at {outcome.best:.2g}. Or try clip_norm=1"
    )
    return Diverged(error.step, error.what, error.precision, error.kept, advice)


def _train(trainer: Trainer, stop: StopRequest, follow: Following, profiler: Profiler | None) -> None:
    warned, first, balanced = False, trainer.state.epoch + 1, trainer.plan.recipe.keep_by != "top1"
    several = trainer.multilabel
    while not trainer.done:
        number = trainer.state.epoch + 1
        if not trainer.display.live:
            trainer.display.say(f"Epoch {number}: learning rate {trainer.rate(trainer.global_step):.6g}")
        elif number == first:
            trainer.display.say(header(balanced=balanced, multilabel=several))
        if trainer.plan.recipe.probe_views:
            probe(trainer, stop)
        else:
            _steps(trainer, stop, profiler)
        try:
            verdict = trainer.validate(stop)
        except Stopped:
            trainer.save()
            raise
        follow.history(trainer.state.history[-1:])
        due = trainer.done or trainer.cheap_to_save()
        if trainer.display.live:
            best = trainer.state.best_epoch == number
            trainer.display.say(row(trainer.state.history[-1], balanced=balanced, best=best, multilabel=several))
        elif verdict:
            trainer.display.say(f"Epoch {number}: {verdict}{_whereabouts(trainer, number, due)}")
        if not warned and (sentence := _far_above_guessing(trainer)):
            trainer.display.warn(sentence)
            warned = True
        _save(trainer, stop, due=due)
    if profiler is not None:
        profiler.finish()


def _steps(trainer: Trainer, stop: StopRequest, profiler: Profiler | None) -> None:
    """Do the remaining steps of the epoch."""
    for group in trainer.groups():
        trainer.step(group)
        if trainer.display.due():
            trainer.display.show(trainer.moment())
        _save(trainer, stop, due=trainer.checkpoint_due())
        if profiler is not None:
            profiler.step()
    if profiler is not None:
        profiler.pause()


def _far_above_guessing(trainer: Trainer) -> str:
    """Return a sentence where the loss of the epoch that ended is far above that of guessing, else ""."""
    line = trainer.state.history[-1]
    if line["epoch"] > _EARLY_EPOCHS or trainer.balance.positives is not None:
        return ""
    return far_above_guessing(
        line["train_loss"],
        line["val_loss"],
        classes=2 if trainer.multilabel else len(trainer.plan.dataset.classes),
        aux=trainer.aux_weight * len(trainer.model.aux_heads()),
        learning_rate=trainer.plan.recipe.learning_rate,
    )


def _whereabouts(trainer: Trainer, number: int, due: bool) -> str:
    """Return where the weights of an epoch that was the best so far are, "" for one that was not."""
    if trainer.plan.recipe.keep == "every":
        return f", saved as {epoch_path(trainer.plan.checkpoints, number).name}"
    if trainer.state.best_epoch != number:
        return ""
    return ", saved" if due else ", kept for the next checkpoint"


def _save(trainer: Trainer, stop: StopRequest, *, due: bool) -> None:
    # Read once: a signal that comes meanwhile is left to the next step, so that it does not stop the run unsaved.
    stopping = stop.signal != 0
    if stopping or due:
        trainer.save()
    if stopping:
        raise Stopped


def _introduce(trainer: Trainer) -> None:
    plan, say = trainer.plan, trainer.display.say
    counts = ", ".join(f"{len(split):,} {name}" for name, split in plan.dataset.splits.items())
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    say(f"{plan.spec.name} ({parameters:,} parameters) on {plan.dataset.given}: {counts}")
    side, many = plan.preprocess.side, len(plan.dataset.classes)
    for name, split in plan.dataset.splits.items():
        count = len(split)
        labels = f"({count}, {many}) of 0 and 1" if split.multilabel else f"({count},) of {many} classes"
        say(f"{name}: images ({count}, 3, {side}, {side}) as the network sees them, labels {labels}")
    say(_class_sizes(plan))
    if plan.recipe.freeze:
        learning = sum(parameter.numel() for parameter in trainer.model.parameters() if parameter.requires_grad)
        say(f"Frozen: {plan.recipe.freeze}; {learning:,} of {parameters:,} parameters learn")
    for note in (*plan.dataset.notes, *filter(None, [waiting_sentence()])):
        say(note)
    if plan.recipe.validate_on == "test":
        say("The test images validate, as the recipe states: what they score in the end is optimistic")
    if plan.measures:
        say(f"Images, as measured on the training part: {describe(plan.preprocess)}")
    say(
        f"Recipe {plan.recipe.name}: {counted(plan.recipe.epochs, 'epoch')}, "
        f"{counted(plan.total_steps, 'step')} of {_images(plan)}"
    )
    for note in plan.request.notes:
        say(worded(note))
    if plan.recipe.keep == "every":
        size = sum(tensor.nbytes for tensor in trainer.weights().values()) / 1e6
        say(
            f"The weights of each epoch are kept: up to {counted(plan.recipe.epochs, 'file')} of {size:,.1f} MB, "
            f"{plan.recipe.epochs * size:,.1f} MB in all, in {plan.checkpoints}"
        )
    say(f"{trainer.hardware.sentence}; {trainer.kernels.name} kernels ({trainer.kernels.reason})")


def _class_sizes(plan: Plan) -> str:
    """Return the classes with their training images, the largest first; of many both ends."""
    counts = plan.train.class_counts.tolist()
    names = [
        f"{name} ({count:,})" for count, name in sorted(zip(counts, plan.dataset.classes, strict=True), reverse=True)
    ]
    if len(names) > 2 * _CLASSES_SHOWN:
        names[_CLASSES_SHOWN:-_CLASSES_SHOWN] = [f"… ({len(names) - 2 * _CLASSES_SHOWN:,} others)"]
    uneven = plan.recipe.balance == "none" and unevenness(counts) >= UNEVEN
    kind, remedy = "class", "balance='logits' or balance='sampler' counts the classes alike"
    if plan.dataset.multilabel:
        kind, remedy = "label", "balance='loss' weighs rare labels more"
    return f"Training images of each {kind}: {', '.join(names)}{worded(f'; uneven: {remedy}') if uneven else ''}"


def _images(plan: Plan) -> str:
    size, forwards = plan.recipe.batch_size, plan.recipe.accumulate_steps
    return f"{forwards} × {counted(size, 'image')}" if forwards > 1 else counted(size, "image")
