"""The teachers of a run: named when it is asked for, recorded by hash, opened beside its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import torch

from residua._base.errors import InputError
from residua._base.public import public_name
from residua._base.words import some
from residua.runtime.device import Hardware
from residua.specs.preprocess import PreprocessSpec
from residua.training.recipe import Recipe
from residua.training.step.distill import Teachers, described, view_of
from residua.weights.ensemble import is_ensemble, member_folders
from residua.weights.open import load
from residua.weights.run import Run


class TeacherDocument(TypedDict):
    """A teacher as JSON holds it."""

    given: str
    sha256: str


@dataclass(frozen=True)
class Teacher:
    """A run that teaches another, as that records it.

    Attributes:
        given: its folder, absolute; the same weights elsewhere are the same teacher.
        sha256: of its weights when the run was begun (`Run.weights_sha256`).
    """

    given: str = field(compare=False)
    sha256: str

    def __str__(self) -> str:
        return f"{public_name(self.given)} (SHA-256 {self.sha256[:12]}…)"

    def to_dict(self) -> TeacherDocument:
        """Return it as JSON holds it."""
        return {"given": self.given, "sha256": self.sha256}


def find_teachers(names: str | Path | Sequence[str | Path]) -> tuple[Teacher, ...]:
    """Open the runs that are to teach; a folder of several, such as a sweep's ensemble, stands for all of them.

    Raises:
        InputError: no such run; one of several labels an image; one that is named twice.
    """
    several = [names] if isinstance(names, str | Path) else list(names)
    folders = [Path(each) for name in several for each in (member_folders(name) if is_ensemble(name) else [name])]
    teachers = tuple(Teacher(str(folder.resolve()), _checked(load(folder)).weights_sha256) for folder in folders)
    twice = [each.given for each in teachers if teachers.count(each) > 1]
    if twice:
        raise InputError(f"teacher={twice[0]} twice", "runs that differ", "Name each run once")
    return teachers


def open_teachers(
    teachers: Sequence[Teacher], recipe: Recipe, classes: Sequence[str], preprocess: PreprocessSpec, hardware: Hardware
) -> tuple[Teachers | None, list[str]]:
    """Open the teachers of a run, and return them with a note on each for its report; None for none.

    Args:
        teachers: as the run records them.
        recipe: of the run.
        classes: of its data.
        preprocess: its evaluation transform.
        hardware: that it trains on.

    Raises:
        InputError: weights that are gone or have changed; classes or a preprocessing that do not fit.
    """
    if not teachers:
        return None, []
    networks, views, orders, notes = [], [], [], []
    for teacher in teachers:
        try:
            run = _checked(load(teacher.given))
        except InputError as error:
            raise InputError(
                f"teacher={teacher.given}: {error.given}",
                "the teacher that the run was begun with",
                "Put it back, or name where it stands now: teacher=RUN",
            ) from None
        if run.weights_sha256 != teacher.sha256:
            raise InputError(
                f"teacher {teacher.given}, whose weights have SHA-256 {run.weights_sha256[:16]}…, and had "
                f"{teacher.sha256[:16]}… when the run was begun",
                "the teacher that the run was begun with",
                "Restore it, or begin a run in a different folder: out=FOLDER",
            )
        if set(run.classes) != set(classes):
            differ = some(sorted(set(run.classes) ^ set(classes)), 12)
            raise InputError(
                f"teacher {run.name}, whose classes are not those of the data: {differ} are in one of the two",
                "the same classes by name, in any order",
                "Use a teacher of these classes",
            )
        view = view_of(preprocess, run.preprocess_spec, run.name)
        network = hardware.place(run.model).eval().requires_grad_(False)
        networks.append(network)
        views.append(view)
        orders.append(torch.tensor([run.classes.index(name) for name in classes], device=hardware.device))
        differs = f"; it sees {how}" if (how := described(view, preprocess)) else ""
        notes.append(
            f"training learnt from the teacher {teacher} at temperature {recipe.distill_temperature:g} with weight "
            f"{recipe.distill_weight:g}{differs}"
        )
    taught = Teachers(networks, views, orders, recipe.distill_temperature, recipe.distill_weight, hardware.autocast)
    return taught, notes


def _checked(run: Run) -> Run:
    run.spec.require_logits("teaching")
    if run.multilabel is not None:
        raise InputError(
            f"teacher {run.name}, which gives several labels an image", "a run of one label an image", "Use another"
        )
    return run


def check_teaching(teachers: Sequence[Teacher], recipes: Sequence[Recipe], named: Mapping[str, Any]) -> None:
    """Refuse fields of a recipe that would change nothing.

    Args:
        teachers: of the run.
        recipes: that it may train by.
        named: fields that were given beside the recipe, with their values.

    Raises:
        InputError: a temperature or a weight without a teacher; a probe with one.
    """
    asked = [key for key in named if key.replace("-", "_").startswith("distill_")]
    if asked and not teachers:
        field = asked[0].replace("-", "_")
        raise InputError(f"{field}={named[asked[0]]} without a teacher", "a run that teaches", "Give teacher=RUN")
    for recipe in recipes:
        if teachers and recipe.probe_views:
            raise InputError(
                f"probe_views={recipe.probe_views} with a teacher",
                "a training in steps, which a probe is not",
                "Leave the teacher out, or give probe_views=0",
            )
