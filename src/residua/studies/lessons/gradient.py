"""Step 4: the gradient of a unit splits into the shortcut's part and the branch's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from residua.studies.lessons.lesson import Course, Finding, Lesson, Number

if TYPE_CHECKING:
    from residua.studies.measures.flow import Pass

_BATCH = 64  # images: the norms change little with more


def norms(passed: Pass) -> list[float]:
    """Return the norm of the loss's gradient at each unit's input, then at the last unit's output."""
    gradient = passed.gradient
    backwards = [float(gradient.norm())]
    for step in reversed(passed.steps):
        gradient, _ = step.back(gradient)
        backwards.append(float(gradient.norm()))
    return backwards[::-1]


def gap_of(passed: Pass) -> float:
    """Return the largest gap between a unit's gradient and the sum of its two terms, relative to the gradient.

    The shortcut's term is computed on its own where the shortcut is the identity: it is the gradient at the sum.
    """
    import torch

    gradient, gap = passed.gradient, 0.0
    for step in reversed(passed.steps):
        whole, through = step.back(gradient)
        assert step.branch is not None
        (at_sum,) = torch.autograd.grad(step.out, step.branch, gradient, retain_graph=True)
        if at_sum.shape == whole.shape:
            gap = max(gap, float((whole - (at_sum + through)).norm() / whole.norm()))
        gradient = whole
    return gap


def run(course: Course) -> Finding:
    """Follow the gradient back through both deep networks of step 2."""
    import statistics

    from residua.figures.axes import compact, points
    from residua.figures.lines import Series, line_chart
    from residua.studies.lessons.material import network_of, picture, trained
    from residua.studies.measures.flow import forward, split_gradient

    deep = course.depths[1]
    lines, ratios = [], {}
    shares: list[float] = []
    gap = 0.0
    for kind, style in (("plain", "c2"), ("residual", "c1")):
        network, subject = network_of(trained(course, kind, deep))
        batch = next(iter(subject.batches("train", _BATCH, _BATCH)))
        passed = forward(network, batch.images, batch.labels)
        by_unit = norms(passed)
        lines.append(Series(kind, style, by_unit))
        ratios[kind] = by_unit[0] / by_unit[-1]
        if kind == "residual":
            gap = gap_of(passed)
            shares = [unit.shortcut_share for unit in split_gradient(network, batch.images, batch.labels)]
    mean = statistics.fmean(shares)
    shown = f"{gap:.1e}" if gap else "0"
    units = range(len(lines[0].values))
    first = line_chart("gradient norm", "units passed", units, lines, compact, log=True)
    second = line_chart(
        "share through the shortcut",
        "unit",
        range(1, len(shares) + 1),
        [Series("residual", "c1", shares)],
        points,
    )
    return Finding(
        (
            f"In the residual network of {deep} layers the two parts, each computed alone, add up to the whole "
            f"gradient: the largest gap is {shown} of it{', which is rounding' if gap else ''}.",
            f"On average {mean:.0%} of a unit's gradient came through its shortcut.",
            f"From the last unit back to the first, the gradient's norm changes by a factor of {ratios['plain']:.3g} "
            f"in the plain network and of {ratios['residual']:.3g} in the residual one.",
        ),
        (
            Number(f"{mean:.0%}", "mean share of a unit's gradient that came through the shortcut", mean),
            Number(shown, "largest gap between the whole and its two parts", gap),
            Number(f"{ratios['plain']:.3g}", "gradient, first unit over last, plain", ratios["plain"]),
            Number(f"{ratios['residual']:.3g}", "gradient, first unit over last, residual", ratios["residual"]),
        ),
        (
            picture(
                first, "Norm of the loss's gradient at each unit's input; the last point is the end. Step 2's runs."
            ),
            picture(second, "Part of each unit's gradient that came through its shortcut."),
        ),
    )


LESSON = Lesson(
    title="The shortcut carries the gradient back",
    idea=(
        "Which way must a weight move? The *gradient* answers: for every number in the network, how much the loss "
        "changes when that number changes a little. It is computed backwards, from the loss to the image, layer by "
        "layer, by the chain rule: each layer multiplies it by its own slope. This is *backpropagation*.",
        "Dozens of multiplications in a row can make the gradient tiny (*vanishing*) or huge (*exploding*). Batch "
        "normalisation prevents the worst; what is left is that the gradient loses its relation to the image. ∂F/∂x is "
        "how F changes with x. In a unit H(x) = F(x) + x the slope is ∂F/∂x + 1: whatever the branch does, the 1 "
        "passes the gradient on as it is. Two gradients arrive at x and are added: one through the branch, one through "
        "the shortcut.",
    ),
    formulas=(
        ("∂H/∂x = 1 + ∂F/∂x", "the slope of a unit"),
        ("∂loss/∂x = ∂loss/∂H · 1 + ∂loss/∂H · ∂F/∂x", "the gradient: the shortcut's part plus the branch's"),
    ),
    words={
        "gradient": "how the loss changes with each number of the network",
        "backpropagation": "computing it from the end to the beginning",
        "norm": "the length of a list of numbers: the root of the sum of their squares",
        "vanishing": "the gradient's norm falls towards 0 on the way back",
        "exploding": "it grows without bound",
    },
    runs="Sends one batch through both deep networks of step 2 and takes the gradient of every unit apart.",
    source="He 2016, arXiv 1603.05027, section 2, equations 4 and 5",
    run=run,
    more=("residua study gradients digits --quick",),
)
