"""How do gradients change on their way back, with and without shortcuts? He 2015, section 4.1; He 2016, section 2."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

from residua.studies.study import FULL, QUICK, Arm, Figure, Form, Outcome, Results, Study, StudyOptions, Table, Verdict

if TYPE_CHECKING:
    from torch import Tensor

    from residua.families.network import Classifier
    from residua.studies.intervals import Interval
    from residua.studies.measures.subject import Subject

_BATCHES, _BATCH = 6, 64  # batches apart give the spread
_START = "at the start"


def grid(options: StudyOptions) -> list[Arm]:
    """Return a plain and a residual network, each after few and after more steps of the same training."""
    depth = options.one_depth(quick=32, full=56)
    moments = (30, 300) if options.quick else (500, 8000, 64000)
    return [
        Arm(f"{kind}-{depth}, {steps} steps", f"cifar_{name}{depth}", {}, {"max_steps": steps}, kind, steps)
        for kind, name in (("plain", "plain"), ("residual", "resnet"))
        for steps in moments
    ]


def measure(subject: Subject) -> dict[str, Any]:
    """Return each batch's gradient norm at every unit's input, for the network before and after training.

    `norms`: of the mean cross-entropy's gradient at the inputs of the units, then at the last unit's output. `shares`:
    ⟨s, g⟩ / ⟨g, g⟩ for each unit, where g is its input's gradient and s the part that came through the shortcut. The
    rest came through the branch. Batches are of training images, normalised by the batch as in training.
    """
    batches = [(b.images, b.labels) for b in subject.batches("train", _BATCHES * _BATCH, _BATCH)]
    return {"initial": _measured(subject.initial(), batches), "trained": _measured(subject.model, batches)}


def _measured(model: Classifier, batches: list[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    from residua.studies.measures.flow import forward
    from residua.studies.measures.surgery import residual

    network = residual(model)
    norms, shares = [], []
    names: list[str] = []
    for images, labels in batches:
        flow = forward(network, images, labels)
        names = [step.name for step in flow.steps]
        gradient = flow.gradient
        row, parts = [float(gradient.norm())], []
        for step in reversed(flow.steps):
            gradient, branch = step.back(gradient)
            row.append(float(gradient.norm()))
            square = float((gradient * gradient).sum())
            if step.branch is not None and square:
                parts.append(float(((gradient - branch) * gradient).sum()) / square)
        norms.append(row[::-1])
        shares.append(parts[::-1])
    return {"units": names, "norms": norms, "shares": shares}


def conclude(results: Results) -> Outcome:
    """Compare by how many powers of ten the gradient's norm changes from the last unit to the first."""
    from residua.figures.axes import compact, points
    from residua.figures.lines import Series, line_chart
    from residua.figures.palette import LINES

    moments = _moments(results)
    figures = []
    for index, (kind, title) in enumerate((("plain", "plain network"), ("residual", "residual network"))):
        lines = [(label, _by_unit(measured, "norms")) for label, group, measured in moments if group == kind]
        if lines:
            longest = max(len(values) for _, values in lines)
            series = [Series(label, LINES[n % 6], values) for n, (label, values) in enumerate(lines)]
            svg = line_chart(f"{title}: gradient norm", "units passed", range(longest), series, compact, log=True)
            figures.append(Figure(svg, "Norm of the loss's gradient at each unit's input; the last point is the end."))
        lines = [(label, _by_unit(measured, "shares")) for label, group, measured in moments if group == kind]
        lines = [(label, values) for label, values in lines if len(values) > 1]
        if lines and index:
            series = [Series(label, LINES[n % 6], values) for n, (label, values) in enumerate(lines)]
            svg = line_chart("share through the shortcut", "unit", range(1, len(lines[0][1]) + 1), series, points)
            figures.append(Figure(svg, "Part of each unit's gradient that came through its shortcut."))
    rows = []
    for label, group, measured in moments:
        change = _change(measured)
        share = _by_unit(measured, "shares")
        terms = [statistics.fmean(share), 1 - statistics.fmean(share)] if share else []
        text = f"{change.value:z.2f} ({change.low:z.2f} to {change.high:z.2f})"
        rows.append((f"{group}, {label}", text, f"{10**change.value:.3g}", *(map(points, terms) if terms else "––")))
    header = ("network", "powers of ten", "as a factor", "the 1: through shortcuts", "the ∂F/∂x: through branches")
    caption = "Gradient norm at the first unit's input over that at the last unit's output; in brackets 95% intervals"
    over = f"{_BATCHES} batches of {_BATCH} images" if len(moments[0][2]) == 1 else "the seeds"
    table = Table(f"{caption} over {over}.", header, tuple(rows))
    return Outcome(_verdict(moments), tuple(figures), (table,))


_Moment = tuple[str, str, list[dict[str, Any]]]


def _moments(results: Results) -> list[_Moment]:
    """Return (when, kind of network, the measurements of each seed), the start first."""
    moments: list[_Moment] = []
    for group in results.groups():
        arms = results.done(group)
        if arms:
            first = results.of(arms[0].label)
            moments.append((_START, group, [one.measured["initial"] for one in first]))
        moments += [(_when(arm), group, [one.measured["trained"] for one in results.of(arm.label)]) for arm in arms]
    return moments


def _when(arm: Arm) -> str:
    return f"{arm.x:g} steps" if arm.x else "trained"


def _by_unit(measured: list[dict[str, Any]], key: str) -> list[float]:
    rows = [row for one in measured for row in one[key]]
    return [statistics.fmean(column) for column in zip(*rows, strict=True)]


def _change(measured: list[dict[str, Any]]) -> Interval:
    from residua.studies.intervals import over_units

    return over_units(
        [[math.log10(max(row[0], 1e-30) / max(row[-1], 1e-30)) for row in one["norms"]] for one in measured]
    )


def _verdict(moments: list[_Moment]) -> Verdict:
    from residua.studies.intervals import meaning

    numbers: dict[str, Interval] = {}
    details, answers = [], {}
    for when in dict.fromkeys(label for label, _, _ in moments):
        of = {group: _change(measured) for label, group, measured in moments if label == when}
        numbers |= {f"{group}, {when}": change for group, change in of.items()}
        words = [f"{group} 10^{change.value:.2f}" for group, change in of.items()]
        details.append(f"{when.capitalize()}, first unit over last: {', '.join(words)}.")
        if {"plain", "residual"} <= of.keys():
            (low, high), (least, most) = (_away(of[kind]) for kind in ("plain", "residual"))
            answers[when] = "yes" if most < low else "no" if least > high else "undecided"
    shares = [s for _, group, measured in moments if group == "residual" for s in _by_unit(measured, "shares")]
    if shares:
        share = statistics.fmean(shares)
        details.append(
            f"d(x + F(x))/dx = 1 + ∂F/∂x: the 1 is the shortcut, which carried {share:.0%} of a unit's gradient on "
            f"average, and ∂F/∂x is the branch, which carried {1 - share:.0%}."
        )
    details += meaning(numbers.values(), 0.0)
    if _START not in answers:
        return Verdict(
            "undecided", "Nothing to compare: a plain and a residual network are needed.", tuple(details), numbers
        )
    names = {kind: [when for when, answer in answers.items() if answer == kind] for kind in ("yes", "no")}
    plain, residual = (numbers[f"{kind}, {_START}"] for kind in ("plain", "residual"))
    text = (
        f"At the start the gradient changes by a factor of {10**residual.value:.3g} over the residual network and of "
        f"{10**plain.value:.3g} over the plain one; the residual one keeps it better "
        f"{'at ' + str(len(names['yes']))} of {len(answers)} moments."
    )
    answer = "yes" if len(names["yes"]) == len(answers) else "no" if len(names["no"]) == len(answers) else "undecided"
    return Verdict(answer, text, tuple(details), numbers)  # type: ignore[arg-type]


def _away(change: Interval) -> tuple[float, float]:
    """Return the interval of how far the gradient's norm departs from staying equal, in either direction."""
    if change.low <= 0 <= change.high:
        return 0.0, max(-change.low, change.high)
    return min(abs(change.low), abs(change.high)), max(abs(change.low), abs(change.high))


_SHOWS = (
    "Batch normalisation keeps both from vanishing, as He 2015 found: what differs is by how much the norm drifts, and "
    "by which way the gradient came. The intervals are over batches, or over seeds where there are several. "
)

STUDY = Study(
    name="gradients",
    question="Do shortcuts keep the gradient's norm on its way back to the first units?",
    source="He 2015, arXiv 1512.03385, section 4.1; He 2016, arXiv 1603.05027, section 2, equation 5",
    grid=grid,
    measure=measure,
    full=Form(
        "paper",
        FULL,
        _SHOWS + "Measured in {layers}, at the start and after each of the trainings that the table lists.",
    ),
    quick=Form(
        "fast",
        # A constant rate, so that the shorter trainings are the beginning of the longer ones.
        {
            **QUICK,
            "schedule": "constant",
            "learning_rate": 0.05,
            "epochs": 20,
            "train_images": 4000,
            "measure_train": 0,
        },
        _SHOWS + "So few steps of {layers} show the beginning of training, not its end.",
    ),
    conclude=conclude,
    takes_depths=True,
)
