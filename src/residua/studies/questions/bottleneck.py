"""Is a bottleneck better than a basic unit at equal cost? He 2015, section 4.1 and figure 5; He 2016, table 4."""

from __future__ import annotations

import dataclasses
from typing import Any

from residua.studies.study import FULL, QUICK, Arm, Form, Outcome, Results, Study, StudyOptions

_EDITS: dict[str, Any] = {"shortcut": "projection", "stem_norm": True}
_BASIC, _BOTTLENECK = "basic", "bottleneck"
# Widths near 16, 32, 64 whose parameters and multiply-accumulates together come nearest to the basic units'.
_WIDTHS = {True: (15, 31, 59), False: (16, 33, 64)}


def grid(options: StudyOptions) -> list[Arm]:
    """Return as many basic units as bottlenecks: 3 per stage in the quick form, 18 in the full one."""
    units = 3 if options.quick else 18
    return [
        Arm(_BASIC, f"cifar_resnet{6 * units + 2}_v2", _EDITS, group="units"),
        Arm(
            _BOTTLENECK,
            f"cifar_resnet{9 * units + 2}_v2_bottleneck",
            {**_EDITS, "widths": _WIDTHS[options.quick]},
            group="units",
        ),
    ]


def conclude(results: Results) -> Outcome:
    """Compare the basic unit with the bottleneck."""
    from residua.studies.comparison import compared, cost_table

    conclusion = compared(results, _BOTTLENECK, claim=[_BASIC], best="the bottleneck")
    return dataclasses.replace(conclusion, tables=(*conclusion.tables, cost_table(results, _BOTTLENECK)))


STUDY = Study(
    name="bottleneck",
    question="Is a bottleneck better than a basic unit at equal cost?",
    source="He 2015, arXiv 1512.03385, section 4.1 and figure 5; He 2016, arXiv 1603.05027, table 4",
    grid=grid,
    full=Form(
        "paper",
        {**FULL, "warmup_epochs": 1.0},
        "Pre-activated networks of {units} with projections where the shape changes, by the paper's recipe. "
        "How nearly the costs are equal stands in the table.",
    ),
    quick=Form(
        "fast",
        {**QUICK, "train_images": 6000},
        "{units}, trained briefly on few images: this shows which unit learns faster at the start. The bottleneck's "
        "case in the paper is that great depth becomes affordable, which this form does not reach.",
    ),
    conclude=conclude,
)
