"""The command that repeats a study, or continues it where it stands."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from residua._base.public import public_path
from residua.studies.grid import Grid
from residua.training.recipe import Recipe

# The recipe's fields that `residua study` takes.
_OPTIONS = ("epochs", "batch_size", "train_images", "device")


def command_of(
    grid: Grid, recipe: str | Path | Recipe | None, jobs: int | None, overrides: dict[str, Any], *, named: bool = False
) -> str:
    """Return words for the shell, or a Python call where the command has no option for a field.

    Args:
        grid: the study's.
        recipe, jobs, overrides: as given to `study`.
        named: name paths by their last part, for pages and documents, which others read.
    """
    choice = grid.options

    def shown(path: str | Path) -> str:
        return public_path(path) if named else str(path)

    options: dict[str, Any] = {
        "quick": choice.quick,
        "seeds": grid.seeds if grid.seeds != grid.study.form(choice.quick).seeds else None,
        "depths": choice.depths,
        "model": choice.model,
        "groups": choice.groups,
        "recipe": recipe if isinstance(recipe, Recipe) or recipe is None else shown(recipe),
        "jobs": jobs,
        "data_dir": shown(grid.data_dir) if grid.data_dir else None,
    }
    # Only what was given is repeated; an override whatever its value: train_images=0 takes all images.
    options = {key: value for key, value in options.items() if value} | overrides | {"out": shown(grid.folder)}
    if isinstance(recipe, Recipe) or not overrides.keys() <= set(_OPTIONS):
        arguments = "".join(f", {key}={value!r}" for key, value in options.items())
        return f"residua.study({grid.study.name!r}, {shown(grid.data)!r}{arguments})"
    return shlex.join(["residua", "study", grid.study.name, shown(grid.data), *flags(options)])


def flags(options: Mapping[str, Any]) -> list[str]:
    """Return options as words for the shell: True is a bare flag, a tuple has commas between its values."""
    words: list[str] = []
    for key, value in options.items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words += [f"--{key.replace('_', '-')}", *([] if value is True else [text])]
    return words


def command_of_runs(
    name: str, data: str | Path, runs: Sequence[str | Path], folder: Path, *, quick: bool, named: bool = False
) -> str:
    """Return the command of a study of finished runs; `named` as for `command_of`."""

    def shown(path: str | Path) -> str:
        return public_path(path) if named else str(path)

    words = ["residua", "study", name, shown(data), *(["--quick"] if quick else [])]
    for run in runs:
        words += ["--run", shown(run)]
    return shlex.join([*words, "--out", shown(folder)])
