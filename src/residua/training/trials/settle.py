"""What short trials settle before the first step: batch size, learning rate, and what computes the steps."""

from __future__ import annotations

import dataclasses
from typing import Any

from residua._base.console import Display
from residua._base.signals import StopRequest
from residua.families.build import spec_of
from residua.runtime.distributed.group import ALONE, Group
from residua.training.distributed.joint import divide, refuse_shards, refuse_trials
from residua.training.plan import Plan, open_data, open_plan
from residua.training.request import Request
from residua.training.trials.batch_size import find_batch_size
from residua.training.trials.fastest_step import computing, fastest_step, may_measure
from residua.training.trials.find_rate import RateSearch, find_rate, with_rate


def settled_plan(
    request: Request, display: Display, stop: StopRequest, group: Group = ALONE
) -> tuple[Plan, RateSearch | None]:
    """Open the plan of a run after the trials that the request asks for, the batch size first.

    What they find stands in the recipe like a value that was given, or in the run's record: a resumption repeats no
    trial.

    Returns:
        The plan, and the search of a learning rate; None where none was asked for.

    Raises:
        InputError: as `open_plan`, or no batch fits.
    """
    refuse_trials(request.trials, group)
    refuse_shards(request.recipes.large, group)
    if "batch_size" in request.trials:
        dataset = open_data(request)
        images = len(dataset.splits["train"])
        spec = spec_of(request.spec, num_classes=len(dataset.classes))
        batch = find_batch_size(spec, request.recipes.of(images), images)
        display.say(batch.sentence)
        request = _with(request, "batch_size", batch_size=batch.batch_size)
    plan = _computed(open_plan(request), display, stop, group)
    divide(plan, group)
    if "learning_rate" not in request.trials:
        return plan, None
    search = find_rate(plan, stop)
    if search is None or search.learning_rate is None:
        lack = "Memory is too short to search a learning rate" if search is None else search.sentence
        display.warn(f"{lack}: learning_rate={plan.recipe.learning_rate:g} of the recipe stays")
        return dataclasses.replace(plan, request=_with(request, "learning_rate")), search
    display.say(search.sentence)
    changes = with_rate(plan.recipe, search.learning_rate)
    recipe = dataclasses.replace(plan.recipe, **changes)  # type: ignore[arg-type]
    return dataclasses.replace(plan, recipe=recipe, request=_with(request, "learning_rate", **changes)), search


def _computed(plan: Plan, display: Display, stop: StopRequest, group: Group) -> Plan:
    """Return the plan with the arithmetic that the run recorded, or else with one that is measured now."""
    origin = plan.request.origin
    if origin is not None and origin.arithmetic is not None:
        return computing(plan, origin.arithmetic)
    arithmetic = fastest_step(plan, stop) if may_measure(plan, group) else None
    if arithmetic is None:
        return plan
    display.say(arithmetic.sentence)
    return computing(plan, arithmetic)


def _with(request: Request, done: str, **changes: Any) -> Request:
    """Return the request after a trial, with what it has found in both recipes."""
    recipes = request.recipes.map(lambda each: dataclasses.replace(each, **changes))
    trials = tuple(name for name in request.trials if name != done)
    return dataclasses.replace(request, recipes=recipes, trials=trials)
