"""Step 5: with activation before the convolutions, the shortcut is the identity to the last bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from residua.studies.lessons.lesson import Course, Finding, Lesson, Number

if TYPE_CHECKING:
    from residua.studies.measures.flow import Pass

_BATCH = 64  # images: the means change little with more
_ORDERS: dict[str, dict[str, Any]] = {
    "after the sum, 2015": {},
    "before the branch, 2016": {"activation": "full_pre", "stem_norm": True},
}


def along_shortcuts(passed: Pass) -> list[float]:
    """Return what is left, at each unit's input, of a gradient that takes shortcuts alone; 1 at the end."""
    gradient = passed.gradient
    start = float(gradient.norm())
    backwards = [1.0]
    for step in reversed(passed.steps):
        whole, through = step.back(gradient)
        gradient = whole - through
        backwards.append(float(gradient.norm()) / start)
    return backwards[::-1]


def run(course: Course) -> Finding:
    """Send a gradient through the shortcuts of both orders, before training."""
    import torch

    from residua.families.build import build
    from residua.figures.axes import points
    from residua.figures.lines import Series, line_chart
    from residua.specs.catalog import get_spec
    from residua.studies.lessons.material import network_of, picture, trained
    from residua.studies.measures.flow import forward
    from residua.studies.measures.surgery import residual

    shallow, deep = course.depths
    _, subject = network_of(trained(course, "residual", shallow))
    batch = next(iter(subject.batches("train", _BATCH, _BATCH)))
    lines, numbers = [], []
    per_stage = (deep - 2) // 6
    for index, (label, edits) in enumerate(_ORDERS.items()):
        torch.manual_seed(0)
        network = residual(build(get_spec(f"cifar_resnet{deep}", input_size=8, **edits)))
        shares = along_shortcuts(forward(network, batch.images, batch.labels))
        lines.append(Series(label.split(",")[0], f"c{2 - index}", shares))
        # Behind the first unit of the last stage every shortcut is the identity.
        left = shares[-per_stage]
        numbers.append(Number(f"{left:.4g}", f"left after the last stage's identity shortcuts; ReLU {label}", left))
    chart = line_chart("gradient through shortcuts alone", "units passed", range(len(lines[0].values)), lines, points)
    after, before = (number.value for number in numbers)
    return Finding(
        (
            f"Untrained networks of {deep} layers. Through the {per_stage - 1} identity shortcuts of the last stage, "
            f"{before:.4g} of the gradient is left where the activation stands before the branch, and {after:.3g} "
            "where a ReLU stands behind each sum: it lets a gradient pass only where its input was positive.",
            "Where a stage begins, the map shrinks and the number of maps grows. No identity fits there, so both lines "
            "drop at these units.",
        ),
        (numbers[1], numbers[0]),
        (picture(chart, "Norm of a gradient that takes shortcuts alone, over its norm at the end."),),
    )


LESSON = Lesson(
    title="Pre-activation clears the shortcut",
    idea=(
        "In the unit of 2015 a ReLU stands behind the sum: y = ReLU(F(x) + x). So the shortcut is not quite the "
        "identity: on the way back, every ReLU deletes the gradient where its input was negative, and a deep network "
        "has one per unit.",
        "*Pre-activation* moves BN and ReLU to the front of the branch, where they belong to F. Then nothing stands on "
        "the shortcut. A *stage* is a row of units whose maps have one size; inside a stage the input of any unit "
        "reaches any later one by additions alone.",
    ),
    formulas=(
        ("x₁ = x₀ + F(ReLU(BN(x₀)))", "a pre-activated unit"),
        ("x_L = x_l + F_l + F_(l+1) + … + F_(L−1)", "any later unit L: the input of unit l plus all branches between"),
        ("∂loss/∂x_l = ∂loss/∂x_L · (1 + ∂/∂x_l Σ F)", "the 1 holds across the whole stage"),
    ),
    words={
        "pre-activation": "BN and ReLU before the convolutions of a branch",
        "stage": "units whose maps have one size",
    },
    runs="Builds a deep network in both orders and sends a gradient back through the shortcuts alone.",
    source="He 2016, arXiv 1603.05027, section 2, equations 3 to 5, and section 4 with figure 4",
    run=run,
    more=("residua study activations digits --quick",),
)
