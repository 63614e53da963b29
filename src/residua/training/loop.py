"""Training, from data to a finished run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from residua._base.console import Display
from residua._base.files import writing
from residua._base.lock import exclusive
from residua._base.signals import Stopped, StopRequest
from residua.data.tables.label_table import ColumnNames, label_table
from residua.runtime.distributed.group import Group, joined
from residua.specs.schema import Spec
from residua.training.console.epoch_table import header, row
from residua.training.console.introduction import introduce
from residua.training.console.outcome import Diverged
from residua.training.finish import finish
from residua.training.folder.checkpoint import epoch_path, remove_leftovers
from residua.training.folder.claim import claim, opening
from residua.training.folder.run_folder import checkpoints_of, is_begun, is_finished
from residua.training.pictures import batch_picture, confusion_picture
from residua.training.plan import check_content, open_data, write_plan
from residua.training.profile import Profiler
from residua.training.recipe import Recipe
from residua.training.recipe_file import to_dict
from residua.training.request import Request, ask
from residua.training.resume import take_state
from residua.training.step.guessing import far_above_guessing
from residua.training.step.memory import advice_while_opening, advice_while_training
from residua.training.step.probe import probe
from residua.training.tracking.choose import Track, choose_trackers
from residua.training.tracking.follow import Following, final_numbers, following, run_config
from residua.training.tracking.record import TrackRecord
from residua.training.tracking.tracker import Tracker
from residua.training.trainer import Trainer
from residua.training.trials.range_test import EARLY, STEPS, range_test
from residua.training.trials.settle import settled_plan
from residua.weights.bundle.value import versions
from residua.weights.open import load
from residua.weights.run import Run

_EARLY_EPOCHS = 3  # whose losses are compared with that of guessing: a later rise has other reasons


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
    teacher: str | Path | Sequence[str | Path] | None = None,
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
        teacher: finished runs of the same classes whose probabilities for the same augmented images the network learns
            beside the labels (Hinton 2015); see `distill_temperature` and `distill_weight`. Several are averaged, and
            an ensemble's folder stands for its members. Where their preprocessing has another mean, deviation or
            size, they see the run's images so. When resuming, the run's own.
        overrides: fields of the recipe or of its augmentation, such as epochs=3, flip=False; batch_size="auto" for
            the largest that fits.

    Raises:
        InputError: unusable input; data that changed before a resumption; out of memory; a full disk.
        Diverged: the loss turned NaN or infinite.
        Interrupted: SIGINT or SIGTERM came; a checkpoint is written, and the message names the command that resumes.
    """

    def asked(*, resume: bool) -> Request:
        return ask(
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
            teacher=teacher,
            **overrides,
        )

    with joined() as group:
        # Processes that torchrun has started again go on with what they had begun.
        launchers = group.launchers()
        request = group.shared(lambda: asked(resume=resume or is_begun(Path(out), launchers)))
        return _run(request, group, launchers, track, progress=progress, profile=profile)


def _run(
    request: Request, group: Group, launchers: frozenset[str], track: Track, *, progress: bool, profile: bool
) -> Run:
    folder, main = request.folder, group.main
    trackers: Mapping[str, Tracker] = {}
    new = not folder.exists()
    if main:
        own = TrackRecord.read(folder).names if request.origin and track is None else track
        trackers = choose_trackers(own, folder)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    with (
        exclusive(folder) if main else nullcontext(),
        Display(progress, silent=not main) as display,
        StopRequest(request.command) as stop,
    ):
        if group.shared(lambda: _is_done(request, launchers, display)):
            return group.shared(lambda: load(folder))
        with opening(request, new=new) if main else nullcontext(), advice_while_opening(request.recipes.large):
            plan, search = settled_plan(request, display, stop, group)
            trainer = Trainer(plan, display, group)
            if main and request.origin is None:
                trainer.begin()
        if main:
            if search is not None:
                search.write(folder)
            write_plan(trainer.plan)
            introduce(trainer)
        with (
            advice_while_training(trainer.plan.recipe),
            following(trackers, folder, display, silent=not main) as follow,
        ):
            take_state(trainer)
            _follow(trainer, follow)
            stop.wait()
            try:
                _fit(trainer, stop, follow, _profiler(trainer) if profile and main else None)
                trainer.collect()
                group.shared(lambda: _finish(trainer, stop, follow))
            except Stopped:
                state = f"after step {trainer.global_step} of {trainer.plan.total_steps}; all is saved"
                raise stop.interrupted(stop.signal, state) from None
    return group.shared(lambda: load(folder))


def _is_done(request: Request, launchers: frozenset[str], display: Display) -> bool:
    """Return whether the run is finished, having claimed its folder."""
    claim(request, launchers)
    if is_finished(request.folder):
        if request.names_other_data:
            check_content(request, open_data(request))
        display.say(
            f"{request.folder} is finished: nothing is left to do. To train on, begin another run with its weights: "
            f"{request.command_to_train_on}"
        )
        return True
    for swept in (request.folder, checkpoints_of(request.folder)):
        remove_leftovers(swept)
    return False


def _finish(trainer: Trainer, stop: StopRequest, follow: Following) -> None:
    """Evaluate, write the bundle and the report, and send the trackers what it measured."""
    report = finish(trainer, stop)
    if follow.active:
        follow.numbers(trainer.global_step, final_numbers(report.to_dict()))
        if (confusion := getattr(report, "confusion", None)) is not None:
            follow.image(trainer.global_step, "confusion", confusion_picture(confusion, report.classes))


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
    if error.step >= EARLY or trainer.group.count > 1:
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
            _save(trainer, stop, due=True)
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
    if line["epoch"] > _EARLY_EPOCHS or trainer.balance.positives is not None or trainer.plan.teachers is not None:
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
    signal, due = trainer.group.agreed(stop.signal, due)
    if signal or due:
        trainer.save()
    if signal:
        stop.signal = signal
        trainer.group.wait()  # a process that ended now would end the first one while it saves
        raise Stopped
