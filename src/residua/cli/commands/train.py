"""`residua train`: one call of `residua.train`, with every field of the recipe as an option."""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from residua._base.errors import InputError
from residua._base.files import write_bytes
from residua._base.run_files import FOLDS_FILE
from residua.cli.edits import Edits
from residua.cli.label_flags import ColumnWords, Data, GroupColumn, Labels
from residua.cli.lists import is_list, length
from residua.cli.printing.dry_run_table import print_dry_run
from residua.cli.show import Switch, check_target, note, percent, print_json, say
from residua.cli.tables import print_table
from residua.runtime.allocator import keep_freed_memory
from residua.runtime.distributed.launch import read_launch
from residua.specs.augment import AugmentSpec
from residua.specs.edit_text import read_edits
from residua.specs.fields import field_types
from residua.training.recipe import Recipe


def train(
    data: Data,
    /,
    *,
    model: str | None = None,
    out: Path = Path("runs/latest"),
    weights: str | None = None,
    recipe: str | None = None,
    set_: Edits = (),
    resume: Switch = False,
    labels: Labels = None,
    columns: ColumnWords = (),
    groups: GroupColumn = None,
    data_dir: Path | None = None,
    full_provenance: Switch = False,
    corrections: Path | None = None,
    find_rate: Switch = False,
    teacher: Annotated[tuple[str, ...], Parameter(negative_iterable=())] = (),
    profile: Switch = False,
    dry_run: Switch = False,
    first_batch: Path | None = None,
    track: Annotated[tuple[str, ...] | None, Parameter(negative_iterable=("no-",), show_default=False)] = None,
    jobs: int | None = None,
    json: Switch = False,
    **fields: Any,
) -> int:
    """Train a network on images; the run can be killed at any moment and resumed.

    Parameters
    ----------
    model
        A network's name, see `residua models`; left out: resnet18, or with --resume the run's own.
    out
        The run's folder: weights, report, history, checkpoints. It must hold no run, unless --resume. With --folds K,
        the folder of a run per fold.
    weights
        To begin with: published, none, torchvision:IMAGENET1K_V2, timm:TAG, hf://ORG/REPO, https://…#sha256=HEX, a file
        or a run's folder; left out: what the recipe states, or with --resume the run's own. The recipe fast begins
        networks for photos with published weights (see `residua weights`); none: with weights drawn from the seed.
    recipe
        "fast", "paper", "keras", "slim", "probe", "finetune", or a TOML file; left out: fast, or with --resume the
        run's own.
    resume
        Go on where a killed run stopped; its final weights are those of the run never killed.
    data_dir
        Where downloaded archives are kept; left out: $RESIDUA_DATA, else ~/.cache/residua/data.
    full_provenance
        State places on this machine in bundle, report and recipe.toml; left out: data and weights are named by the last
        part of their path.
    corrections
        A CSV file with the columns path and label, as residua doubt writes it. Images get that label, and are left
        out where it is empty.
    find_rate
        Search a learning rate in at most 100 steps before the first one, draw the search in the report, and train with
        the rate that it suggests.
    teacher
        Finished runs of the same classes, whose probabilities the network learns beside the labels (distillation); with
        --resume the run's own. See --distill-temperature and --distill-weight.
    profile
        Measure where the time of 20 of the first steps goes, and trace 3 more: OUT/profile/profile.json and trace.json,
        for chrome://tracing. The run is the same.
    dry_run
        Open the data, do a few steps, and print shapes, parameters, memory and an estimate of the time; no run is made.
    first_batch
        With --dry-run, a PNG file to write the first batch into, as the network sees it.
    track
        What follows the run besides history.jsonl: wandb (offline), mlflow (a file of SQLite), trackio, tensorboard;
        left out: nothing, or with --resume what followed the run before.
    jobs
        With --folds, how many folds are trained at a time; left out: one per processor, at most 8, and one on a GPU.
    json
        Print one JSON document at the end.
    """
    main = read_launch().main
    if main and sys.stderr.isatty():
        # torch takes seconds to load: a person sees at once that it began.
        note(f"Opening {data}, into {out} …")
    chosen = {key: value for key, value in fields.items() if value is not None}
    every_fold = bool(chosen.get("folds")) and not chosen.get("fold")
    keywords: dict[str, Any] = {
        "model": model,
        "recipe": recipe,
        "out": out,
        "resume": resume,
        "labels": labels,
        "columns": columns,
        "groups": groups,
        "data_dir": data_dir,
        "weights": weights,
        "full_provenance": full_provenance,
        "corrections": corrections,
        "model_edits": _edits(model, out, set_),
        **({"teacher": teacher} if teacher else {}),
        **chosen,
    }
    if dry_run or first_batch is not None:
        if track:
            raise InputError(
                f"track={list(track)} in a dry run", "a run, which is followed", "Leave one of the two out"
            )
        if jobs is not None:
            raise InputError(f"jobs={jobs} in a dry run", "one short training", "Leave one of the two out")
        return _dry_run(data, dry_run, first_batch, json, keywords | {"find_rate": find_rate, "profile": profile})
    if every_fold or (resume and (out / FOLDS_FILE).exists()):
        if (count := read_launch().count) > 1:
            raise InputError(
                f"folds with {count} processes of one run",
                "one fold, or folds in processes of their own",
                "Give fold=1 too, or leave torchrun out and give jobs=2",
            )
        if find_rate or chosen.get("batch_size") == "auto":
            raise InputError(
                "find_rate=True or batch_size='auto' with folds",
                "folds that share one recipe",
                "Find the values first: dry_run=True, find_rate=True",
            )
        if teacher:
            raise InputError(
                f"teacher={list(teacher)} with folds",
                "one run: a teacher has learnt from images that a fold holds out",
                "Give fold=1 too, with a teacher of that fold",
            )
        if profile:
            raise InputError("profile=True with folds", "one run", "Give fold=1 too")
        if track:
            raise InputError(
                f"track={list(track)} with folds",
                "one run that is followed",
                f"Leave track out, and send each fold later: residua track replay {out}/fold-1 --to {track[0]}",
            )
        return _train_folds(data, jobs, json, keywords)
    if jobs is not None:
        raise InputError(f"jobs={jobs} for one run", "several folds", "Leave jobs out, or give folds=5")
    from residua.training.loop import train as run_training

    keep_freed_memory()
    run = run_training(data, **keywords, track=track, find_rate=find_rate, profile=profile)
    if not main:
        return 0
    if json:
        print_json({"run": str(run.folder), "model": run.spec.name, "classes": list(run.classes), **run.metrics})
        return 0
    note(f"Next: {shlex.join(['residua', 'predict', str(run.folder)])} IMAGE…")
    return 0


def _dry_run(data: str, asked: bool, picture: Path | None, json: bool, keywords: dict[str, Any]) -> int:
    if not asked:
        raise InputError(f"first_batch={str(picture)!r} of a run", "a dry run", "Give dry_run=True too")
    if keywords["resume"]:
        raise InputError("resume=True in a dry run", "a run that is not begun yet", "Leave one of the two out")
    if keywords["profile"]:
        raise InputError("profile=True in a dry run", "a run, whose steps are measured", "Leave one of the two out")
    if (count := read_launch().count) > 1:
        raise InputError(
            f"a dry run in {count} processes", "one process, whose steps are measured", "Leave torchrun out"
        )
    check_target(picture, ".png")
    from residua.training.trials.dry_run import dry_run

    outcome = dry_run(data, **{name: value for name, value in keywords.items() if name not in _NOT_TRIED})
    if picture is not None:
        write_bytes(picture, outcome.first_batch)
    if json:
        print_json(outcome.to_dict())
        return 0
    print_dry_run(outcome)
    return 0


def _train_folds(data: str, jobs: int | None, json: bool, keywords: dict[str, Any]) -> int:
    from residua.grids.folds.train_folds import train_folds

    outcome = train_folds(data, jobs=jobs, **keywords)
    if json:
        print_json(outcome.to_dict())
        return 0
    print_table(
        ("fold", "images", "top-1", "balanced", "loss"),
        [
            (str(each.fold), f"{each.count:,}", percent(each.top1), percent(each.balanced_accuracy), f"{each.loss:.4f}")
            for each in outcome.folds
        ],
        right=range(5),
    )
    for name, words in (("top1", "top-1"), ("balanced_accuracy", "balanced accuracy")):
        mean = outcome.mean[name]
        say(f"mean {words} {percent(mean.value)} (95% interval {percent(mean.low)} to {percent(mean.high)})")
    low, high = outcome.report.top1_interval
    say(
        f"all images, each by the run that had it held out: top-1 {percent(outcome.top1)} "
        f"(95% interval {percent(low)} to {percent(high)})"
    )
    folder = str(outcome.folder)
    note(f"All folds as an ensemble: {shlex.join(['residua', 'evaluate', folder])} OTHER_PHOTOS")
    return 0


_BATCH = int | Literal["auto"]  # "auto" is found before the first step, and no value of the recipe
_NOT_TRIED = ("out", "resume", "full_provenance", "profile")


def _options(kind: type, group: Group) -> list[inspect.Parameter]:
    """Return an option for each field of `kind`; left out, it keeps the recipe's value."""
    texts = {
        key: " ".join(text.split())
        for key, text in re.findall(r"^ {8}(\w+): ((?:.+\n?(?: {12}.+\n?)*))", kind.__doc__ or "", re.MULTILINE)
    }
    return [
        inspect.Parameter(
            key,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                wanted | None,
                Parameter(group=group, help=texts[key], show_default=False, negative_iterable=_no(wanted)),
            ],
        )
        for key, wanted in (field_types(kind) | ({"batch_size": _BATCH} if kind is Recipe else {})).items()
        if key not in ("name", "augment", "weights")
    ]


def _edits(model: str | None, out: Path, words: tuple[str, ...]) -> dict[str, Any]:
    """Return the edits of the network that is to be trained: the one named, or that of the run to be resumed."""
    if not words:
        return {}
    from residua.specs.catalog import get_spec
    from residua.training.folder.run_folder import read_origin

    origin = read_origin(out) if model is None else None
    return read_edits(origin.spec if origin else get_spec("resnet18" if model is None else model), words)


def _no(wanted: Any) -> tuple[str, ...]:
    """Return the beginning of the flag that empties a list, for a field that may be empty."""
    return ("no-",) if is_list(wanted) and not length(wanted) else ()


def _signature() -> inspect.Signature:
    own = inspect.signature(train, eval_str=True)
    named = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    former = inspect.Parameter(
        "engine",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[str | None, Parameter(show=False, help="The former name of --kernels.")],
    )
    recipe = _options(Recipe, Group("Fields of the recipe", help="Each replaces the recipe's value.", sort_key=1))
    augment = _options(AugmentSpec, Group("Augmentation of the training images", sort_key=2))
    return own.replace(parameters=[*named, *recipe, *augment, former])


train.__signature__ = _signature()  # type: ignore[attr-defined]
