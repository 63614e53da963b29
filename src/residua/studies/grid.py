"""The trainings of a study, settled before it starts, and kept in its folder so that no other study continues there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.files import write_text
from residua._base.json_file import read_json
from residua._base.run_files import LOCK_FILE
from residua._base.words import some
from residua.data.dataset import Dataset
from residua.grids.jobs import Job, absolute
from residua.studies.study import Arm, Study, StudyOptions
from residua.training.recipe import FREE_FIELDS, Recipe
from residua.training.recipe_file import load_recipe, override, to_dict

GRID_FILE = "plan.json"
_MEASURING = 2  # raised when a study measures differently than before, so that no older record is used


@dataclass(frozen=True)
class Trial:
    """One arm with one seed.

    Attributes:
        arm: of the study.
        seed: of the run.
        job: its training and measuring.
    """

    arm: Arm
    seed: int
    job: Job


@dataclass(frozen=True)
class Grid:
    """A study, before it starts.

    Attributes:
        study: the question.
        options: what the user chose.
        data: as given.
        data_dir: where downloaded archives lie.
        dataset: the data with the splits of seed 0.
        recipe: what the arms have in common.
        seeds: how many.
        folder: the study's.
        trials: arm by arm, seed by seed.
    """

    study: Study
    options: StudyOptions
    data: str
    data_dir: Path | None
    dataset: Dataset
    recipe: Recipe
    seeds: int
    folder: Path
    trials: tuple[Trial, ...]

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms, in the order of the grid."""
        return tuple({trial.arm.label: trial.arm for trial in self.trials}.values())


def make_grid(
    study: Study,
    data: str | Path,
    folder: Path,
    *,
    options: StudyOptions,
    seeds: int | None,
    recipe: str | Path | Recipe | None,
    data_dir: Path | None,
    overrides: Mapping[str, Any],
) -> Grid:
    """Settle everything and open the data; nothing is written.

    Raises:
        InputError: unusable data, recipe, depth or number of seeds.
    """
    form = study.form(options.quick)
    seeds = form.seeds if seeds is None else seeds
    if seeds < 1:
        raise InputError(f"seeds={seeds}", "1 or more", "Use seeds=3 for intervals over seeds")
    if "seed" in overrides:
        raise InputError(
            f"seed={overrides['seed']}",
            "a number of seeds, counted from 0",
            "Use seeds=3 for three trainings of each network",
        )
    arms = _in_groups(tuple(study.grid(options)), options.groups)
    labels = [arm.slug for arm in arms]
    if not arms or len(set(labels)) != len(labels):
        raise InputError(f"the arms {some(labels)}", "at least one, each named once", "Give other depths")
    settled = _recipe(recipe, form.recipe, form.fields, overrides, options.quick, images=0)
    dataset = dataclasses.replace(settled, seed=0).open_data(data, data_dir)
    common = _recipe(recipe, form.recipe, form.fields, overrides, options.quick, images=len(dataset.splits["train"]))
    grid = Grid(study, options, str(data), data_dir, dataset, common, seeds, folder, ())
    trials = tuple(Trial(arm, seed, _job(grid, arm, seed)) for arm in arms for seed in range(seeds))
    return dataclasses.replace(grid, trials=trials)


def _in_groups(arms: tuple[Arm, ...], groups: tuple[str, ...]) -> tuple[Arm, ...]:
    """Return the arms of these groups, or all if none is named; raise InputError for a group that does not exist."""
    known = list(dict.fromkeys(arm.group for arm in arms if arm.group))
    unknown = [name for name in groups if name not in known]
    if unknown:
        wanted = f"groups of this study: {', '.join(known)}" if known else "a study whose networks form groups"
        raise InputError(f"groups={','.join(groups)}", wanted, "Leave out groups=… for all networks")
    return tuple(arm for arm in arms if not groups or arm.group in groups)


def claim(grid: Grid) -> None:
    """Make the folder this study's, or find that it is; the caller holds its lock. More seeds may join.

    Raises:
        InputError: a different study, form, grid, recipe or data stands there: what differs is named.
        Damaged: the record of the study cannot be read.
    """
    path = grid.folder / GRID_FILE
    now = json.loads(json.dumps(_settled(grid)))
    if not path.exists():
        others = sorted(entry.name for entry in grid.folder.iterdir() if entry.name != LOCK_FILE)
        others = [name for name in others if not name.endswith(".part")]
        if others:
            raise InputError(
                f"{grid.folder} already holds {some(others)}",
                "a folder of its own for each study",
                "Give a different out=…",
            )
        write_text(path, json.dumps(now, indent=1) + "\n")
        return
    differing = _differences(now, read_json(path, dict))
    if differing:
        raise InputError(
            f"{grid.folder} holds a study that was started differently: {some(differing, 6, '; ')}",
            "the same study, form, grid, recipe and data; only the seeds may become more",
            "Repeat the command that started it, or give a different out=…",
        )


def _recipe(
    recipe: str | Path | Recipe | None,
    own: str,
    fields: Mapping[str, Any],
    overrides: Mapping[str, Any],
    quick: bool,
    *,
    images: int,
) -> Recipe:
    """Return the user's recipe with the fields that a study needs, or the form's own."""
    if recipe is not None:
        needed = ("measure_train", "train_images") if quick else ("measure_train",)
        fields = {key: fields[key] for key in needed if key in fields}
    settled = recipe if isinstance(recipe, Recipe) else load_recipe(recipe or own, images=images)
    return override(override(settled, **fields), **overrides)


def _job(grid: Grid, arm: Arm, seed: int) -> Job:
    study, dataset = grid.study, grid.dataset
    spec = arm.spec.edit(num_classes=len(dataset.classes), in_channels=3)
    recipe = dataclasses.replace(override(grid.recipe, **arm.recipe), seed=seed)
    decides = {key: value for key, value in to_dict(recipe).items() if key not in FREE_FIELDS}
    document = [study.name, _MEASURING, spec.to_json(), decides, dataset.hash]
    name = f"{arm.slug}-seed{seed}"
    return Job(
        name=name,
        spec=spec,
        recipe=recipe,
        data=absolute(grid.data),
        data_dir=Path(os.path.abspath(grid.data_dir)) if grid.data_dir else None,
        folder=grid.folder / "runs" / name,
        record=grid.folder / "measured" / f"{name}.json",
        key=hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest(),
        measure="residua.studies.measuring:measure" if study.measure else None,
        arguments={"study": study.name, "quick": grid.options.quick},
    )


def _settled(grid: Grid) -> dict[str, Any]:
    free = set(FREE_FIELDS)
    arms = {one.arm.label: one.job.spec.to_json() | {"recipe": dict(one.arm.recipe)} for one in grid.trials}
    return {
        "study": grid.study.name,
        "form": "quick" if grid.options.quick else "full",
        "data": grid.dataset.hash,
        "recipe": {key: value for key, value in to_dict(grid.recipe).items() if key not in free | {"seed"}},
        "arms": arms,
    }


def _differences(now: Any, was: Any, prefix: str = "") -> list[str]:
    if isinstance(now, dict) and isinstance(was, dict):
        lines = []
        for key in {**was, **now}:
            if key not in now or key not in was:
                lines.append(f"{prefix}{key} is {'new' if key in now else 'missing'}")
            else:
                lines += _differences(now[key], was[key], f"{prefix}{key}.")
        return lines
    return [] if now == was else [f"{prefix.rstrip('.')} is {now} now, was {was}"]
