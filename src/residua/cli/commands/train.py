"""`residua train`: one call of `residua.train`, with every field of the recipe as an option."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from residua.cli.edits import Edits
from residua.cli.label_flags import ColumnWords, GroupColumn, Labels
from residua.cli.lists import is_list, length
from residua.cli.show import Switch, note, print_json
from residua.specs.augment import AugmentSpec
from residua.specs.edit_text import read_edits
from residua.specs.fields import field_types
from residua.training.recipe import Recipe


def train(
    data: str,
    /,
    *,
    model: str | None = None,
    out: Path,
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
        The run's folder: weights, report, history, checkpoints.
    weights
        To begin with: torchvision:IMAGENET1K_V2, timm:TAG, hf://ORG/REPO, https://…#sha256=HEX, a file or a run's
        folder; left out: drawn from the seed, or with --resume the run's own.
    recipe
        "fast", "paper", "keras", "slim", or a TOML file; left out: fast, or with --resume the run's own.
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
    json
        Print one JSON document at the end.
    """
    from residua.training.loop import train as run_training

    chosen = {key: value for key, value in fields.items() if value is not None}
    run = run_training(
        data,
        model=model,
        recipe=recipe,
        out=out,
        resume=resume,
        labels=labels,
        columns=columns,
        groups=groups,
        data_dir=data_dir,
        weights=weights,
        full_provenance=full_provenance,
        corrections=corrections,
        model_edits=_edits(model, out, set_),
        **chosen,
    )
    if json:
        print_json({"run": str(run.folder), "model": run.spec.name, "classes": list(run.classes), **run.metrics})
        return 0
    note(f"Next: {shlex.join(['residua', 'predict', str(run.folder)])} IMAGE…")
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
        if key not in ("name", "augment")
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
