"""Compare networks with one of them: differences with intervals, and whether it is the best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from residua._base.words import agree, some
from residua.studies.study import Figure, Outcome, Result, Results, Table, Verdict

if TYPE_CHECKING:
    from residua.studies.intervals import Interval

HARDLY = 0.8
"""A share of the error of guessing: networks with a higher error have learnt too little to be compared."""


def compared(
    results: Results,
    baseline: str,
    *,
    claim: Sequence[str],
    best: str,
    published: Mapping[str, str] | None = None,
    protocol: str = "",
) -> Outcome:
    """Return curves, a chart, a table of differences of the test error, and whether the baseline is the best.

    Args:
        results: of all arms.
        baseline: the arm that the others are compared with.
        claim: the arms that the verdict is about.
        best: the verdict's name of the baseline, such as "the identity".
        published: published test errors of arms in percent, as text.
        protocol: how those were measured.
    """
    from residua.figures.axes import points
    from residua.figures.intervals import interval_chart
    from residua.figures.palette import LINES
    from residua.studies.charts import error_curves, interval_row
    from residua.studies.intervals import rate

    done = results.done()
    rows = []
    for arm in done:
        errors = [result.test_error for result in results.of(arm.label)]
        style = LINES[results.groups().index(arm.group) % len(LINES)]
        rows.append(interval_row(arm.label, rate(errors, results.of(arm.label)[0].test_count), errors, style))
    text = "Test error of each network. Lines: 95% intervals; small dots: single seeds."
    figures = [Figure(interval_chart("test error", rows, points), text)]
    for group in results.groups():
        arms = results.done(group)
        # Eyes do not distinguish more than six colours.
        for start in range(0, len(arms), 6):
            lines = [(arm.label, results.of(arm.label)) for arm in arms[start : start + 6]]
            if svg := error_curves(f"{group}: error", lines):
                figures.append(Figure(svg, "Bold: validation images; dashed: training images without augmentation."))
    table = _table(results, baseline, published or {}, protocol)
    return Outcome(_verdict(results, baseline, claim, best), tuple(figures), (table,))


def _differences(results: Results, baseline: str, *, train: bool = False) -> dict[str, Interval]:
    """Return the errors of the others minus the baseline's; the intervals hold together (Bonferroni)."""
    from residua.studies.intervals import LEVEL, difference

    def errors(label: str) -> list[float]:
        results_of_arm = results.of(label)
        values = [one.train_error if train else one.test_error for one in results_of_arm]
        return [value for value in values if value is not None]

    others = [arm.label for arm in results.done() if arm.label != baseline and errors(arm.label)]
    base = errors(baseline)
    if not base:
        return {}
    count = results.of(baseline)[0].train_count if train else results.of(baseline)[0].test_count
    level = 1 - (1 - LEVEL) / max(len(others), 1)
    return {label: difference(errors(label), base, count, seed_sd=results.seed_sd, level=level) for label in others}


def _table(results: Results, baseline: str, published: Mapping[str, str], protocol: str) -> Table:
    rows = []
    test, train = _differences(results, baseline), _differences(results, baseline, train=True)
    for arm in results.arms:
        rows_of_arm = results.of(arm.label)
        row = [arm.label]
        if not rows_of_arm:
            row += ["failed", "", ""]
        else:
            from residua.studies.intervals import Spread

            row.append(Spread.of([one.test_error for one in rows_of_arm]).percent(2))
            row += [known[arm.label].percent() if arm.label in known else "–" for known in (test, train)]
        rows.append((*row, *([published.get(arm.label, "–")] if published else [])))
    header: tuple[str, ...] = (
        "network",
        "test error, %",
        f"beside {baseline}, points",
        "training error beside it, points",
    )
    caption = f"Differences with intervals in brackets that hold together, 95%; above 0 is worse than {baseline}."
    if published:
        header, caption = (*header, "published, %"), f"{caption} Published: {protocol}."
    return Table(caption, header, tuple(rows))


def _verdict(results: Results, baseline: str, claim: Sequence[str], best: str) -> Verdict:
    from residua.studies.intervals import meaning

    failed = [label for label in claim if not results.of(label)]
    details = [f"Gave no result: {some(failed)}."] if failed else []
    if not results.of(baseline):
        return Verdict("undecided", f"{baseline}, which the others are compared with, gave no result.", tuple(details))
    if text := hardly_learnt(results):
        return Verdict("undecided", text, (*details, "More epochs, or more images, may decide."))
    every = _differences(results, baseline)
    changes = {label: every[label] for label in claim if label in every}
    worse = [label for label, change in changes.items() if change.low > 0]
    better = [label for label, change in changes.items() if change.high < 0]
    alike = [label for label in changes if label not in (*worse, *better)]
    for words, labels in (("worse", worse), ("better", better), ("not distinguishable", alike)):
        if labels:
            named = [f"{label} by {changes[label].percent()} points" for label in labels]
            details.append(
                f"{words.capitalize()} than {best}: {some(named, 12)}."
                if labels is not alike
                else f"Not distinguishable from {best}: {some(named, 12)}."
            )
    details += meaning(changes.values(), results.seed_sd)
    if len(every) > 1:
        details.append(f"The {len(every)} intervals hold together (Bonferroni).")
    numbers: dict[str, object] = dict(changes)
    if better:
        text = f"{best[:1].upper()}{best[1:]} is not the best: {some(better)} had fewer test errors."
        return Verdict("no", text, tuple(details), numbers)
    if changes and not alike:
        others = "the other" if len(changes) == 1 else f"each of the {len(changes)} others"
        text = f"{best[:1].upper()}{best[1:]} had fewer test errors than {others}."
        return Verdict("yes", text, tuple(details), numbers)
    if len(changes) == 1:
        return Verdict(
            "undecided",
            f"{best[:1].upper()}{best[1:]} and the other cannot be distinguished here.",
            tuple(details),
            numbers,
        )
    text = (
        f"None of the {len(changes)} others is better than {best}, "
        f"{len(worse)} of them {agree(len(worse), 'is', 'are')} worse; "
        f"{len(alike)} cannot be distinguished from it here."
    )
    return Verdict("undecided", text, tuple(details), numbers)


def hardly_learnt(results: Results) -> str:
    """Return a sentence that states so where no network is much better than guessing, else ""."""
    best = min((result.test_error for result in results.results), default=1.0)
    if best <= HARDLY * (1 - 1 / results.classes):
        return ""
    return f"The networks have hardly learnt: the best errs on {best:.1%} of the held-out images."


def cost_table(results: Results, baseline: str) -> Table:
    """Return what each network costs, as counted on its layers, beside the baseline's cost."""
    base = results.of(baseline)
    rows = []
    for arm in results.done():
        first = results.of(arm.label)[0]
        beside = [f"{ours / theirs - 1:+z.1%}" for ours, theirs in _pairs(first, base[0])] if base else ["–", "–"]
        rows.append((arm.label, f"{first.params:,}", beside[0], f"{first.macs:,}", beside[1]))
    header = ("network", "parameters", f"beside {baseline}", "MACs", f"beside {baseline}")
    return Table("What the networks cost, counted: MACs are multiply-accumulates per image.", header, tuple(rows))


def _pairs(ours: Result, theirs: Result) -> tuple[tuple[int, int], tuple[int, int]]:
    return (ours.params, theirs.params), (ours.macs, theirs.macs)
