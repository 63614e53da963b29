"""What happens to a network that loses units at test time, or has them in a different order? Veit 2016, section 4."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from residua._base.errors import InputError
from residua.specs.catalog import get_spec
from residua.specs.resnet import ResNetSpec
from residua.studies.study import (
    FULL,
    QUICK,
    Arm,
    Figure,
    Form,
    Outcome,
    Result,
    Results,
    Study,
    StudyOptions,
    Table,
    Verdict,
)

if TYPE_CHECKING:
    from residua.studies.intervals import Interval
    from residua.studies.measures.subject import Subject

_MOST_DELETED = 10  # points of a curve, each of which costs an evaluation
_COLLAPSE = 0.5  # share of the way to guessing, for one lost unit


def grid(options: StudyOptions) -> list[Arm]:
    """Return a residual network and the plain one of the same depth, or the plain one alone if it is asked for."""
    name = options.model or ("cifar_resnet32" if options.quick else "cifar_resnet56")
    spec = get_spec(name)
    if not isinstance(spec, ResNetSpec):
        raise InputError(f"the network {name}", "one of residual units, or plain", "For example model='cifar_resnet20'")
    if spec.shortcut == "none":
        return [Arm(name, name, group="plain")]
    plain = Arm(f"{name}-plain", name, {"shortcut": "none", "gate": "none", "zero_init_last_bn": False}, group="plain")
    return [Arm(name, name, group="residual"), plain]


def measure(subject: Subject) -> dict[str, Any]:
    """Return the errors on held-out images, fractions of 1, of the whole network and with each lesion.

    `single`: without each unit; `many`: without k random units; `swaps`: with k random swaps within stages.
    """
    import numpy as np

    from residua.studies.measures.surgery import named_units, removable, reordered, residual, resizing, without

    network = residual(subject.model)
    draws, count = (5, 1000) if subject.quick else (20, 10_000)
    batches = [(batch.images, batch.labels) for batch in subject.batches(count=count)]
    chance = np.random.default_rng(subject.seed)
    bound, legal, units = resizing(network), removable(network), list(named_units(network))

    def error() -> float:
        return error_of(network, batches)

    single = []
    for name in legal:
        with without(network, [name]):
            single.append({"unit": name, "resizes": name in bound, "error": error()})
    many = []
    for k in range(1, min(len(legal), _MOST_DELETED) + 1):
        errors = []
        for _ in range(draws):
            with without(network, [legal[index] for index in chance.choice(len(legal), k, replace=False)]):
                errors.append(error())
        many.append({"deleted": k, "errors": errors})
    swaps = []
    stages = [[name for name in units if name.startswith(f"layer{n}.") and name not in bound] for n in range(1, 9)]
    stages = [stage for stage in stages if len(stage) > 1]
    for k in (1, 2, 4, 8) if stages else ():
        for _ in range(draws):
            order = list(units)
            for _ in range(k):
                stage = stages[chance.integers(len(stages))]
                a, b = (units.index(stage[index]) for index in chance.choice(len(stage), 2, replace=False))
                order[a], order[b] = order[b], order[a]
            moved = {slot: unit for slot, unit in zip(units, order, strict=True) if slot not in bound}
            with reordered(network, moved):
                swaps.append({"swaps": k, "tau": _tau(units, order), "error": error()})
    return {
        "kind": "plain" if network.spec.shortcut == "none" else "residual",
        "images": sum(len(labels) for _, labels in batches),
        "error": error(),
        "single": single,
        "many": many,
        "swaps": swaps,
        "not_removable": [name for name in units if name not in legal],
    }


def error_of(network: Any, batches: Any) -> float:
    """Return the top-1 error of a network in evaluation mode on (images, labels)."""
    import torch

    wrong = count = 0
    with torch.inference_mode():
        for images, labels in batches:
            wrong += int((network(images).argmax(1) != labels).sum())
            count += len(labels)
    return wrong / count


def _tau(units: list[str], order: list[str]) -> float:
    from residua.studies.measures.surgery import kendall_tau

    return kendall_tau([units.index(name) for name in order])


def conclude(results: Results) -> Outcome:
    """Compare what one lost unit costs, as a share of the way from the whole network's error to that of guessing."""
    from residua.figures.axes import points
    from residua.figures.lines import Series, line_chart
    from residua.figures.palette import LINES

    done = results.done()
    figures = []
    for key, title, label in (("many", "error with k random units deleted", "units deleted"),):
        lines, longest = [], 0
        for index, arm in enumerate(done):
            values = _mean_by_k(results.of(arm.label), key)
            longest = max(longest, len(values))
            lines.append((arm.label, LINES[index % len(LINES)], values))
        series = [Series(name, style, values + [None] * (longest - len(values))) for name, style, values in lines]
        svg = line_chart(title, label, list(range(longest)), series, points)
        if svg:
            figures.append(
                Figure(svg, "Mean over random draws; at 0 the whole network. No training after the deletion.")
            )
    for index, arm in enumerate(done):
        svg = _single_chart(arm, results.of(arm.label), LINES[index % len(LINES)])
        figures.append(Figure(svg, "One unit deleted. Stars mark units that change the shape."))
    tables = tuple(
        _swap_table(arm, results.of(arm.label)) for arm in done if results.of(arm.label)[0].measured["swaps"]
    )
    return Outcome(_verdict(results), tuple(figures), (*_single_table(results), *tables))


def _mean_by_k(runs: list[Result], key: str) -> list[float | None]:
    whole = statistics.fmean(result.measured["error"] for result in runs)
    rows = zip(*(result.measured[key] for result in runs), strict=True)
    return [whole, *(statistics.fmean(error for row in group for error in row["errors"]) for group in rows)]


def _single_chart(arm: Arm, runs: list[Result], style: str) -> Any:
    from residua.figures.axes import points
    from residua.figures.intervals import interval_chart
    from residua.studies.charts import interval_row
    from residua.studies.intervals import rate

    images = runs[0].measured["images"]
    whole = [float(result.measured["error"]) for result in runs]
    drawn = [interval_row("whole network", rate(whole, images), whole, style)]
    for entries in zip(*(result.measured["single"] for result in runs), strict=True):
        name = entries[0]["unit"] + (" *" if entries[0]["resizes"] else "")
        errors = [float(entry["error"]) for entry in entries]
        drawn.append(interval_row(f"without {name}", rate(errors, images), errors, style))
    return interval_chart(f"{arm.label}: error without one unit", drawn, points)


def _single_table(results: Results) -> tuple[Table, ...]:
    from residua.figures.axes import points

    rows = []
    for arm in results.done():
        for result in results.of(arm.label):
            measured = result.measured
            same = [one["error"] for one in measured["single"] if not one["resizes"]]
            other = [one["error"] for one in measured["single"] if one["resizes"]]
            spans = [f"{points(min(e))} to {points(max(e))}" if e else "–" for e in (same, other)]
            shares = (
                points(statistics.fmean(_shares(result, results.classes))) if _shares(result, results.classes) else "–"
            )
            rows.append((f"{arm.label}, seed {result.seed}", points(measured["error"]), *spans, shares))
    header = ("network", "whole", "without one unit of equal shapes", "without one that resizes", "mean share lost")
    caption = "Error on held-out images. Share lost: of the way from the whole network's error to that of guessing."
    return (Table(caption, header, tuple(rows)),)


def _swap_table(arm: Arm, runs: list[Result]) -> Table:
    from residua.figures.axes import points

    rows = []
    entries = [entry for result in runs for entry in result.measured["swaps"]]
    for k in sorted({entry["swaps"] for entry in entries}):
        chosen = [entry for entry in entries if entry["swaps"] == k]
        errors = [entry["error"] for entry in chosen]
        tau = statistics.fmean(entry["tau"] for entry in chosen)
        rows.append(
            (str(k), f"{tau:.3f}", points(statistics.fmean(errors)), f"{points(min(errors))} to {points(max(errors))}")
        )
    caption = f"{arm.label}: units of equal shapes change places within their stage. Kendall's tau over all units."
    return Table(caption, ("swaps", "mean tau", "mean error", "lowest to highest"), tuple(rows))


def _shares(result: Result, classes: int) -> list[float]:
    """Return, per unit of equal shapes, the share of the way to guessing that its loss costs."""
    whole, guessing = float(result.measured["error"]), 1 - 1 / classes
    if guessing - whole <= 0.05:
        return []
    lost = [float(one["error"]) for one in result.measured["single"] if not one["resizes"]]
    return [(error - whole) / (guessing - whole) for error in lost]


def _verdict(results: Results) -> Verdict:
    from residua.studies.intervals import meaning, over_units

    intervals: dict[str, Interval] = {}
    details, costs = [], []
    for kind in ("residual", "plain"):
        of_kind = [result for result in results.results if result.measured["kind"] == kind]
        shares = [row for result in of_kind if (row := _shares(result, results.classes))]
        if not shares or len(shares[0]) < 2:
            if of_kind:
                details.append(f"The {kind} network has learnt too little, or has too few units, to lose anything.")
            continue
        intervals[kind] = over_units(shares)
        whole = statistics.fmean(float(result.measured["error"]) for result in of_kind)
        worst = max(one["error"] for result in of_kind for one in result.measured["single"] if not one["resizes"])
        costs.append(f"{kind} {intervals[kind].percent()} %")
        details.append(
            f"{kind.capitalize()}: the whole network errs on {whole:.1%}; without one unit of equal shapes at most "
            f"on {worst:.1%}."
        )
    details += meaning(intervals.values(), results.seed_sd)
    numbers = {f"{kind}, share lost": interval for kind, interval in intervals.items()}
    losing = f"Losing one unit of equal shapes costs, of the way to guessing: {', '.join(costs)}."
    if len(intervals) == 2:
        residual, plain = intervals["residual"], intervals["plain"]
        if residual.high < _COLLAPSE < plain.low:
            text = f"The residual network degrades smoothly, the plain one collapses. {losing}"
            return Verdict("yes", text, tuple(details), numbers)
        if residual.high < plain.low:
            text = f"The residual network loses less than the plain one; that this collapses is not shown. {losing}"
            return Verdict("undecided", text, tuple(details), numbers)
        if residual.low > plain.high:
            return Verdict("no", f"The residual network suffers more. {losing}", tuple(details), numbers)
        return Verdict("undecided", f"The two cannot be distinguished. {losing}", tuple(details), numbers)
    if not intervals:
        return Verdict("undecided", "No network has learnt enough to lose anything.", tuple(details), numbers)
    (kind, interval), *_ = intervals.items()
    if interval.high < _COLLAPSE or interval.low > _COLLAPSE:
        smooth = interval.high < _COLLAPSE
        text = f"The {kind} network degrades smoothly." if smooth else f"The {kind} network collapses."
        return Verdict("yes" if smooth == (kind == "residual") else "no", f"{text} {losing}", tuple(details), numbers)
    return Verdict("undecided", losing, tuple(details), numbers)


_SHOWS = "Nothing is trained after a deletion. Units that change the shape cannot leave a plain network; in a "
_SHOWS += "residual one, where they leave a projection or a shortcut without weights, they are listed separately. "

STUDY = Study(
    name="lesion",
    question="Does a residual network keep working without some of its units, where a plain one collapses?",
    source="Veit 2016, arXiv 1605.06431, section 4, figures 3 and 5",
    grid=grid,
    measure=measure,
    full=Form(
        "paper",
        FULL,
        _SHOWS + "The networks have {layers} where the paper has 110, so that the plain "
        "one of the same depth still learns.",
    ),
    quick=Form(
        "fast",
        {**QUICK, "train_images": 4000, "epochs": 12, "measure_train": 0},
        _SHOWS
        + "The networks here are trained briefly on few images and err often; how much a lost unit costs is read "
        "relative to that. A network trained in full may depend more on single units.",
    ),
    conclude=conclude,
    takes_model=True,
    takes_runs=True,
)
