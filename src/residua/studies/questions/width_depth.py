"""Is a wide network better than a deep, thin one of equal cost? Zagoruyko 2016, section 3."""

from __future__ import annotations

import dataclasses

from residua.studies.study import FULL, QUICK, Arm, Form, Outcome, Results, Study, StudyOptions

_WIDE = "wide"
# Widths of three stages, near 1 : 2 : 4, whose counts come nearest to the wide network's; the table states how near.
_DEEP = {
    True: ("cifar_wrn10_2", "cifar_wrn34_1", (13, 25, 52), (13, 25, 51)),
    False: ("cifar_wrn16_4", "cifar_wrn52_1", (31, 61, 122), (30, 61, 120)),
}


def grid(options: StudyOptions) -> list[Arm]:
    """Return a wide network and two deep ones: with as many parameters, and with as many multiply-accumulates."""
    wide, deep, parameters, macs = _DEEP[options.quick]
    return [
        Arm(_WIDE, wide, group="networks"),
        Arm("deep, equal parameters", deep, {"widths": parameters}, group="networks"),
        Arm("deep, equal MACs", deep, {"widths": macs}, group="networks"),
    ]


def conclude(results: Results) -> Outcome:
    """Compare the deep networks with the wide one."""
    from residua.studies.comparison import compared, cost_table

    claim = [arm.label for arm in results.arms if arm.label != _WIDE]
    conclusion = compared(results, _WIDE, claim=claim, best="the wide network")
    return dataclasses.replace(conclusion, tables=(*conclusion.tables, cost_table(results, _WIDE)))


_SHOWS = "All have pre-activated basic units and the same stem; how nearly the costs are equal stands in a table. "

STUDY = Study(
    name="width-depth",
    question="Is a wide network better than a deep, thin one of equal cost?",
    source="Zagoruyko 2016, arXiv 1605.07146, section 3",
    grid=grid,
    full=Form(
        "paper",
        {**FULL, "weight_decay": 5e-4, "nesterov": True},
        _SHOWS + "Depths stand in their names. Weight decay and Nesterov momentum are the paper's, the rest of the "
        "recipe is that of He 2015; no dropout.",
    ),
    quick=Form(
        "fast",
        QUICK,
        _SHOWS + "Networks trained briefly on few images: this shows which learns faster, and what an image "
        "costs in time, not where long training ends.",
    ),
    conclude=conclude,
)
