"""Step 7: a residual network whose units share weights is a recurrent network."""

from __future__ import annotations

from residua.studies.lessons.lesson import Course, Finding, Lesson, Number


def run(course: Course) -> Finding:
    """Train networks that repeat one unit, and one that has as many kernels and repeats nothing."""
    from residua.studies.lessons.material import pictures_of, studied

    report = studied(course, "recurrence", depths=(20,), **course.recipe)
    rows = {row.arm: row for row in report.rows()}
    numbers = [
        Number(
            f"{100 * row.test_error.mean:.1f}%",
            f"test error, {name}; {row.params:,} weights, {row.macs / 1e6:.1f} M multiply-accumulates",
            row.test_error.mean,
        )
        for name, row in rows.items()
    ]
    share = rows["kernels shared"].params / rows["unshared"].params
    sentence = f"With shared kernels {share:.0%} of the weights are left; the arithmetic per image is the same."
    first = Number(f"{share:.0%}", "of the weights are left where kernels are shared", share)
    return Finding((report.verdict.sentence, sentence), (first, *numbers), pictures_of(report))


LESSON = Lesson(
    title="Units that share weights make a recurrent network",
    idea=(
        "A *recurrent* network applies one layer again and again, each time to its own last answer; it is used for "
        "sequences, where one repetition is one moment. Written down, a step is state ← state + F(state). Put the "
        "repetitions behind each other and it is a residual network whose units all have the same weights.",
        "So depth has two sides: more weights, and more computing. Sharing separates them: the deep network with "
        "shared weights computes as much as the deep one and has about as many weights as a shallow one. "
        "*Multiply-accumulates* (MACs) count the computing: one product of a weight and a pixel, added to a sum.",
    ),
    formulas=(
        ("x_(t+1) = x_t + F(x_t)", "recurrent: one F, t counts time"),
        ("x_(l+1) = x_l + F_l(x_l)", "residual: F_l differs from unit to unit, l counts depth"),
    ),
    words={
        "recurrent": "applying the same layer again to its own answer",
        "sharing": "several units use one set of weights",
        "MACs": "multiply-accumulates: products of a weight and a number of a map",
    },
    runs="Trains four networks: without sharing, with shared kernels, with whole shared units, and a shallow one.",
    source="Liao 2016, arXiv 1604.03640, section 2; Srivastava 2015, arXiv 1507.06228, section 2: gates as in an LSTM",
    run=run,
    more=("residua study recurrence digits --quick",),
)
