"""The steps of the course, in order."""

from __future__ import annotations

import importlib
from functools import cache

from residua.studies.lessons.lesson import Lesson

STEPS = ("unit", "degradation", "identity", "gradient", "preactivation", "paths", "recurrence", "beyond")
"""The modules of the lessons; step 1 is the first."""


@cache
def lesson(number: int) -> Lesson:
    """Return the lesson of a step, counted from 1."""
    module = importlib.import_module(f"residua.studies.lessons.{STEPS[number - 1]}")
    step: Lesson = module.LESSON
    return step
