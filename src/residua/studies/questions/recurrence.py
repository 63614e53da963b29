"""Is depth worth its time where it adds no weights? The recurrent reading of residual networks, Liao 2016."""

from __future__ import annotations

import dataclasses
from typing import Any

from residua._base.errors import InputError
from residua.studies.study import FULL, QUICK, Arm, Form, Outcome, Results, Study, StudyOptions, Verdict

_UNSHARED, _KERNELS, _UNITS, _SMALL = "unshared", "kernels shared", "units shared", "two units a stage"
_SHALLOWEST = 20  # three units per stage: at 14 layers there is nothing to repeat


def grid(options: StudyOptions) -> list[Arm]:
    """Return a network that repeats each stage's second unit, the unshared one, and the unrepeated one."""
    depth = options.one_depth(quick=32, full=56)
    if depth < _SHALLOWEST or depth % 6 != 2:
        near = max(_SHALLOWEST, 6 * round((depth - 2) / 6) + 2)
        raise InputError(
            f"depth {depth}", "6n + 2 layers with something to repeat: 20, 26, …", f"The nearest is {near}"
        )
    name = f"cifar_resnet{depth}"
    return [
        Arm(_UNSHARED, name, group="recurrence"),
        Arm(_KERNELS, name, {"sharing": "kernels"}, group="recurrence"),
        Arm(_UNITS, name, {"sharing": "units"}, group="recurrence"),
        Arm(_SMALL, "cifar_resnet14", group="recurrence"),
    ]


def conclude(results: Results) -> Outcome:
    """Compare the network that repeats with the one that has as many kernels and repeats nothing."""
    from residua.studies.comparison import compared, cost_table

    conclusion = compared(results, _UNSHARED, claim=[_KERNELS, _UNITS, _SMALL], best="the unshared network")
    tables = (*conclusion.tables, cost_table(results, _UNSHARED))
    return dataclasses.replace(conclusion, verdict=_verdict(results, conclusion.verdict), tables=tables)


def _verdict(results: Results, beside: Verdict) -> Verdict:
    from residua.studies.comparison import hardly_learnt
    from residua.studies.intervals import difference

    if hardly_learnt(results):
        return beside
    errors = {arm.label: [one.test_error for one in results.of(arm.label)] for arm in results.done()}
    if not {_KERNELS, _SMALL} <= errors.keys():
        text = "Too few networks gave a result to tell what repeating brings."
        return dataclasses.replace(beside, answer="undecided", sentence=text)
    count = results.of(_SMALL)[0].test_count
    gain = difference(errors[_KERNELS], errors[_SMALL], count, seed_sd=results.seed_sd)
    numbers: dict[str, Any] = {"kernels shared beside two units a stage": gain, **beside.numbers}
    span = f"the test error changes by {gain.percent()} points where each stage repeats the kernels of its second unit"
    if gain.high < 0:
        answer, text = "yes", f"Depth pays without new kernels: {span}."
    elif gain.low > 0:
        answer, text = "no", f"Depth without new kernels does harm: {span}."
    else:
        answer, text = "undecided", f"Repeating cannot be distinguished from not repeating here: {span}."
    return Verdict(answer, text, beside.details, numbers)  # type: ignore[arg-type]


_SHOWS = (
    "Units behind a stage's first compute one map again and again, as a recurrent network does in time; normalisation "
    'is each step\'s own ("kernels shared") or shared as well ("units shared"), where one running statistic has to '
    "serve all steps. The smallest network has the same kernels and repeats nothing: what it lacks is depth alone. "
)

STUDY = Study(
    name="recurrence",
    question="Does depth still pay where the units of a stage share their weights, as a recurrent network does?",
    source="Liao 2016, arXiv 1604.03640; normalisation for each step: Jastrzębski 2018, arXiv 1710.04773",
    grid=grid,
    full=Form("paper", {**FULL, "warmup_epochs": 1.0}, _SHOWS + "{layers}, with the recipe of He 2015."),
    quick=Form(
        "fast",
        QUICK,
        _SHOWS + "{layers}, trained briefly: which learns faster shows, not where they end; a "
        "network with more weights gains most from longer training and more images, which this form does not have.",
    ),
    conclude=conclude,
    takes_depths=True,
)
