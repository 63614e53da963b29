"""Name -> study."""

from __future__ import annotations

import importlib

from residua._base.errors import InputError, did_you_mean
from residua._base.files import check_name
from residua._base.public import public_address
from residua.studies.study import Study

NAMES = (
    "degradation",
    "depth-without-shortcuts",
    "lesion",
    "shortcuts",
    "activations",
    "gradients",
    "responses",
    "paths",
    "two-3x3",
    "bottleneck",
    "width-depth",
    "recurrence",
)


def list_studies() -> list[Study]:
    """Return all studies."""
    return [get_study(name) for name in NAMES]


def get_study(name: str) -> Study:
    """Return the study of that name.

    Raises:
        InputError: there is none; the nearest is named.
    """
    check_name("study", name)
    if name not in NAMES:
        raise InputError(
            f"study {public_address(str(name))!r}",
            f"one of {', '.join(NAMES)}",
            did_you_mean(name, NAMES, 1) or "See them: residua study",
        )
    study: Study = importlib.import_module(f"residua.studies.questions.{name.replace('-', '_')}").STUDY
    return study
