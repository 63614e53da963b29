"""`residua train`: one call of `residua.train`, with every field of the recipe as an option."""

from __future__ import annotations

import inspect
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from residua._base.errors import InputError
from residua._base.run_files import FOLDS_FILE
from residua.cli.edits import Edits
from residua.cli.label_flags import ColumnWords, GroupColumn, Labels
from residua.cli.lists import is_list, length
from residua.cli.show import Switch, note, percent, print_json, say
from residua.cli.tables import print_table
from residua.specs.augment import AugmentSpec
from residua.specs.edit_text import read_edits
from residua.specs.fields import field_types
from residua.training.recipe import Recipe


def train(
    data: str,
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
    track: Annotated[tuple[str, ...] | None, Parameter(negative_iterable=("no-",), show_default=False)] = None,
    jobs: int | None = None,
    json: Switch = False,
    **fields: Any,
) -> int:
    """Train a network on images; the run can be killed at any moment and resumed.

    Parameters
    ----------
    data
        "digits", "cifar10", "cifar100", a folder of class folders, or one with train/ and val/ or test/; with --labels
        a folder of images.
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
    track
        What follows the run besides history.jsonl: wandb (offline), mlflow (a file of SQLite), trackio, tensorboard;
        left out: nothing, or with --resume what followed the run before.
    jobs
        With --folds, how many folds are trained at a time; left out: one per processor, at most 8, and one on a GPU.
    json
        Print one JSON document at the end.
    """
    if sys.stderr.isatty():
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
        **chosen,
    }
    if every_fold or (resume and (out / FOLDS_FILE).exists()):
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

    run = run_training(data, **keywords, track=track)
    if json:
        print_json({"run": str(run.folder), "model": run.spec.name, "classes": list(run.classes), **run.metrics})
        return 0
    note(f"Next: {shlex.join(['residua', 'predict', str(run.folder)])} IMAGE…")
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
        for key, wanted in field_types(kind).items()
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
