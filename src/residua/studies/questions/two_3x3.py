"""Are two 3×3 convolutions better than one 5×5 that sees as far? Simonyan 2014, section 2.3."""

from __future__ import annotations

import dataclasses
from typing import Any

from residua.studies.study import FULL, QUICK, Arm, Form, Outcome, Results, Study, StudyOptions

_TWO, _ONE = "two 3×3", "one 5×5"
# The plain form of a highway network: its kernels are a field. Adam, since nothing is normalised.
_ADAM: dict[str, Any] = {"optimizer": "adam", "nesterov": False, "weight_decay": 0.0}


def grid(options: StudyOptions) -> list[Arm]:
    """Return networks of three stages, each a 3×3 that sets the width, then one 5×5 or two 3×3."""
    widths = (16, 32, 64) if options.quick else (64, 128, 256)
    common: dict[str, Any] = {"gates": False, "widths": widths, "dropouts": (0.0,) * 4, "head_width": 0}
    return [
        Arm(_TWO, "cifar_highway19", {**common, "kernels": (3,), "depths": (2, 2, 2)}, group="kernels"),
        Arm(_ONE, "cifar_highway19", {**common, "kernels": (5,), "depths": (1, 1, 1)}, group="kernels"),
    ]


def conclude(results: Results) -> Outcome:
    """Compare the 5×5 with the two 3×3."""
    from residua.studies.comparison import compared, cost_table

    conclusion = compared(results, _TWO, claim=[_ONE], best="the pair of 3×3")
    return dataclasses.replace(conclusion, tables=(*conclusion.tables, cost_table(results, _TWO)))


_SHOWS = (
    "Both networks see equally far at every stage and are equally wide; two 3×3 have an activation more and, in the "
    "layers that differ, 28% fewer weights: a table states what they cost. Neither is normalised, as in 2014; both "
    "are trained by Adam. "
)

STUDY = Study(
    name="two-3x3",
    question="Are two 3×3 convolutions better than one 5×5 that sees as far?",
    source="Simonyan 2014, arXiv 1409.1556, section 2.3",
    grid=grid,
    full=Form("paper", {**FULL, **_ADAM, "learning_rate": 1e-3}, _SHOWS + "The rate falls twice."),
    quick=Form(
        "fast",
        {**QUICK, **_ADAM, "learning_rate": 2e-3},
        _SHOWS + "Narrow networks, trained briefly: which learns faster shows, not where they end.",
    ),
    conclude=conclude,
)
