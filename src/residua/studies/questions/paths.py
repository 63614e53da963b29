"""Which of a residual network's 2^n paths carry the gradient? Veit 2016, section 5 and figure 6."""

from __future__ import annotations

import math
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
    from torch import Tensor

    from residua.studies.measures.flow import Pass
    from residua.studies.measures.subject import Subject

_BATCH = 64  # images per pass: no result depends on it


def grid(options: StudyOptions) -> list[Arm]:
    """Return one residual network."""
    name = options.model or ("cifar_resnet32" if options.quick else "cifar_resnet110")
    spec = get_spec(name)
    if not isinstance(spec, ResNetSpec) or spec.shortcut == "none":
        raise InputError(f"the network {name}", "one of residual units", "For example model='cifar_resnet20'")
    return [Arm(name, name, group="residual")]


def measure(subject: Subject) -> dict[str, Any]:
    """Return, per length k, the gradient norms at the first unit's input of random paths through k branches.

    A path goes through the branch of k of the n units and through the shortcut of the others. Backward it takes the
    gradient of that branch or shortcut alone, as in the paper. All 2^n paths add up to the whole gradient. `norms`: per
    batch of held-out images, the mean over the sampled paths of each length, 0 to n. `whole`: of the whole gradient.
    """
    import numpy as np

    from residua.studies.measures.flow import forward
    from residua.studies.measures.surgery import residual

    network = residual(subject.model)
    if network.spec.shortcut == "none":
        raise InputError(f"the plain network {network.spec.name}", "one with shortcuts", "Give another run")
    # Every path goes back through every unit: 8 batches of 20 draws would take hours at 54 units.
    batches, draws = (3, 4) if subject.quick else (4, 5)
    chance = np.random.default_rng(subject.seed)
    norms, whole, n = [], [], 0
    for batch in subject.batches(count=batches * _BATCH, batch_size=_BATCH):
        flow = forward(network, batch.images, batch.labels, training=False)
        n = len(flow.steps)
        row = []
        for k in range(n + 1):
            times = 1 if k in (0, n) else draws
            chosen = [set(chance.choice(n, k, replace=False).tolist()) for _ in range(times)]
            row.append(statistics.fmean(float(along(flow, path).norm()) for path in chosen))
        norms.append(row)
        gradient = flow.gradient
        for step in reversed(flow.steps):
            gradient, _ = step.back(gradient)
        whole.append(float(gradient.norm()))
    return {"units": n, "norms": norms, "whole": whole}


def along(flow: Pass, branches: set[int]) -> Tensor:
    """Return the gradient at the first unit's input on one path: these units' branches, the others' shortcuts."""
    gradient = flow.gradient
    for index in reversed(range(len(flow.steps))):
        whole, through = flow.steps[index].back(gradient)
        gradient = through if index in branches else whole - through
    return gradient


def contributions(norms: list[float]) -> list[float]:
    """Return each length's share of all paths' gradient norms: C(n, k) times the mean norm, summing to 1."""
    n = len(norms) - 1
    weights = [math.comb(n, k) * norm for k, norm in enumerate(norms)]
    total = sum(weights) or 1.0
    return [weight / total for weight in weights]


def conclude(results: Results) -> Outcome:
    """Compare the lengths of the paths that carry the gradient with the length of most paths, n / 2."""
    from residua.figures.axes import compact, points
    from residua.figures.lines import Series, line_chart

    figures, rows = [], []
    for arm in results.done():
        runs = results.of(arm.label)
        n = int(runs[0].measured["units"])
        norms = _mean_norms(runs)
        lengths = list(range(n + 1))
        counts = [math.comb(n, k) / 2**n for k in lengths]
        share = contributions(norms)
        charts = (
            ("share of the paths", counts, points, False, "Paths by the number of branches that they pass: binomial."),
            (
                "gradient norm of one path",
                norms,
                compact,
                True,
                "Mean over random paths of each length, held-out images.",
            ),
            (
                "share of the gradient",
                share,
                points,
                False,
                "The product of the two: which lengths carry the gradient.",
            ),
        )
        for title, values, show, log, caption in charts:
            shown: list[float | None] = [value if value > 0 or not log else None for value in values]
            line = Series(arm.label, "c1", shown)
            if svg := line_chart(f"{arm.label}: {title}", "branches passed", lengths, [line], show, log=log):
                figures.append(Figure(svg, caption))
        low, high = _central(share)
        length = _length(runs)
        text = f"{length.value:.1f} ({length.low:.1f} to {length.high:.1f})"
        rows.append((arm.label, str(n), f"{n / 2:g}", text, f"{low} to {high}"))
    header = ("network", "units", "mean length of all paths", "mean length, by gradient", "nine tenths of it")
    caption = "Lengths in branches passed; in brackets 95% intervals."
    return Outcome(_verdict(results), tuple(figures), (Table(caption, header, tuple(rows)),))


def _mean_norms(runs: list[Result]) -> list[float]:
    rows = [row for result in runs for row in result.measured["norms"]]
    return [statistics.fmean(column) for column in zip(*rows, strict=True)]


def _length(runs: list[Result]) -> Any:
    from residua.studies.intervals import over_units

    return over_units(
        [
            [sum(k * part for k, part in enumerate(contributions(row))) for row in result.measured["norms"]]
            for result in runs
        ]
    )


def _central(share: list[float]) -> tuple[int, int]:
    """Return the lengths between which nine tenths of the gradient lie, with a twentieth on either side."""
    below, low, high = 0.0, 0, len(share) - 1
    for k, part in enumerate(share):
        if below <= 0.05 < below + part:
            low = k
        if below < 0.95 <= below + part:
            high = k
        below += part
    return low, high


def _verdict(results: Results) -> Verdict:
    from residua.studies.intervals import meaning

    numbers, details, answers = {}, [], []
    for arm in results.done():
        runs = results.of(arm.label)
        n, length = int(runs[0].measured["units"]), _length(runs)
        numbers[arm.label] = length
        low, high = _central(contributions(_mean_norms(runs)))
        details.append(f"{arm.label}: nine tenths of the gradient come through {low} to {high} of its {n} branches.")
        answers.append("yes" if length.high < n / 2 else "no" if length.low > n / 2 else "undecided")
        text = (
            f"The paths that carry the gradient pass {length.value:.1f} branches "
            f"({length.low:.1f} to {length.high:.1f}), most paths {n / 2:g}."
        )
    answer = answers[0] if len(set(answers)) == 1 else "undecided"
    if len(answers) > 1:
        text = "Branches passed by the gradient: " + ", ".join(f"{k} {v.value:.1f}" for k, v in numbers.items()) + "."
    details += meaning(numbers.values(), results.seed_sd)
    return Verdict(answer, text, tuple(details), numbers)  # type: ignore[arg-type]


_SHOWS = (
    "The norms of single paths are added up as if the paths pointed one way, as in the paper; they may cancel. Batch "
    "normalisation is by the running statistics. "
)

STUDY = Study(
    name="paths",
    question="Do short paths carry the gradient of a residual network?",
    source="Veit 2016, arXiv 1605.06431, section 5 and figure 6",
    grid=grid,
    measure=measure,
    full=Form("paper", {**FULL, "warmup_epochs": 1.0}, _SHOWS + "{layers}, {units}; the paper has 110 and 54."),
    quick=Form(
        "fast",
        {**QUICK, "train_images": 5000, "epochs": 12, "measure_train": 0},
        _SHOWS + "{layers}, {units}, trained briefly: the ratio of short to long paths grows with depth and training.",
    ),
    conclude=conclude,
    takes_model=True,
    takes_runs=True,
)
