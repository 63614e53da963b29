"""What a study will do, settled before it starts, and kept in its folder so that no other study goes on there."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.files import write_text
from residua._base.words import some
from residua.data.dataset import Dataset, open_dataset
from residua.specs.schema import Spec, to_json
from residua.studies.study import Arm, Asked, Study
from residua.training.recipe import Recipe
from residua.training.recipe_file import load_recipe, override, to_dict
from residua.training.request import FREE_FIELDS

PLAN_FILE = "plan.json"
_MEASURING = 2  # raise it when a study measures otherwise than before, so that nothing older is taken up


@dataclass(frozen=True)
class Job:
    """One arm with one seed, as a worker receives it.

    Attributes:
        arm: of the grid.
        seed: of the run.
        spec: the network.
        recipe: complete, with the seed.
        folder: of the run.
        measured: the file that the measurements are written to.
        key: hash of everything that decides the result.
    """

    arm: Arm
    seed: int
    spec: Spec
    recipe: Recipe
    folder: Path
    measured: Path
    key: str

    @property
    def name(self) -> str:
        """Such as "plain-20-seed0"."""
        return f"{self.arm.slug}-seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    """A study, before it starts.

    Attributes:
        study: what is asked.
        asked: what the user said of the grid.
        data: as given.
        data_dir: where downloaded archives lie.
        dataset: the data with the splits of seed 0.
        recipe: what the arms have in common.
        seeds: how many.
        folder: the study's.
        jobs: arm by arm, seed by seed.
    """

    study: Study
    asked: Asked
    data: str
    data_dir: Path | None
    dataset: Dataset
    recipe: Recipe
    seeds: int
    folder: Path
    jobs: tuple[Job, ...]


def make_plan(
    study: Study,
    data: str | Path,
    folder: Path,
    *,
    asked: Asked,
    seeds: int | None,
    recipe: str | Path | Recipe | None,
    data_dir: Path | None,
    overrides: Mapping[str, Any],
) -> Plan:
    """Settle everything and open the data; nothing is written.

    Raises:
        InputError: unusable data, recipe, depth or number of seeds.
    """
    form = study.form(asked.quick)
    seeds = form.seeds if seeds is None else seeds
    if seeds < 1:
        raise InputError(f"seeds={seeds}", "1 or more", "Use --seeds 3 for intervals over seeds")
    if "seed" in overrides:
        raise InputError(f"seed={overrides['seed']}", "a number of seeds, counted from 0", "Use --seeds")
    arms = tuple(study.grid(asked))
    labels = [arm.slug for arm in arms]
    if not arms or len(set(labels)) != len(labels):
        raise InputError(f"the arms {some(labels)}", "at least one, each named once", "Give other --depths")
    given = _recipe(recipe, form.recipe, form.fields, overrides, asked.quick, images=0)
    dataset = open_dataset(
        data,
        data_dir=data_dir,
        val_fraction=given.val_fraction,
        seed=0,
        train_images=given.train_images,
        on_bad=given.on_bad,
    )
    common = _recipe(recipe, form.recipe, form.fields, overrides, asked.quick, images=len(dataset.splits["train"]))
    jobs = tuple(
        _job(study, arm, seed, override(common, **arm.recipe), dataset, folder) for arm in arms for seed in range(seeds)
    )
    return Plan(study, asked, str(data), data_dir, dataset, common, seeds, folder, jobs)


def claim(plan: Plan) -> None:
    """Make the folder this study's, or find that it is; the caller holds its lock. More seeds may join.

    Raises:
        InputError: another study, form, grid, recipe or data stands there: what differs is named.
    """
    place = plan.folder / PLAN_FILE
    now = json.loads(json.dumps(_record(plan)))
    if not place.exists():
        others = sorted(entry.name for entry in plan.folder.iterdir() if entry.name != ".lock")
        others = [name for name in others if not name.endswith(".part")]
        if others:
            raise InputError(
                f"{plan.folder} already holds {some(others)}",
                "a folder of its own for each study",
                "Give another --out",
            )
        write_text(place, json.dumps(now, indent=1) + "\n")
        return
    try:
        was = json.loads(place.read_text(encoding="utf-8"))
        found = _differences(now, was)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InputError(f"{place} cannot be read: {error}", "the plan of a study", "Give another --out") from None
    if found:
        raise InputError(
            f"{plan.folder} holds a study that was started differently: {some(found, 6, '; ')}",
            "the same study, form, grid, recipe and data; only the seeds may become more",
            "Repeat the command that it was started with, or give another --out",
        )


def _recipe(
    asked: str | Path | Recipe | None,
    own: str,
    fields: Mapping[str, Any],
    overrides: Mapping[str, Any],
    quick: bool,
    *,
    images: int,
) -> Recipe:
    """The user's recipe, or the form's own; of a user's recipe only the parts that a study needs are replaced."""
    if asked is not None:
        needed = ("measure_train", "train_images") if quick else ("measure_train",)
        fields = {key: fields[key] for key in needed if key in fields}
    found = asked if isinstance(asked, Recipe) else load_recipe(asked or own, image_size=32, images=images)
    return override(override(found, **fields), **overrides)


def _job(study: Study, arm: Arm, seed: int, recipe: Recipe, dataset: Dataset, folder: Path) -> Job:
    spec = arm.spec.edit(num_classes=len(dataset.classes), in_channels=3)
    recipe = dataclasses.replace(recipe, seed=seed)
    decides = {key: value for key, value in to_dict(recipe).items() if key not in FREE_FIELDS}
    document = [study.name, _MEASURING, to_json(spec), decides, dataset.hash]
    key = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    name = f"{arm.slug}-seed{seed}"
    return Job(arm, seed, spec, recipe, folder / "runs" / name, folder / "measured" / f"{name}.json", key)


def _record(plan: Plan) -> dict[str, Any]:
    free = set(FREE_FIELDS)
    arms = {job.arm.label: to_json(job.spec) | {"recipe": dict(job.arm.recipe)} for job in plan.jobs}
    return {
        "study": plan.study.name,
        "form": "quick" if plan.asked.quick else "full",
        "data": plan.dataset.hash,
        "recipe": {key: value for key, value in to_dict(plan.recipe).items() if key not in free | {"seed"}},
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
