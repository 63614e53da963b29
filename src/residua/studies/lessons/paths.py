"""Step 6: a residual network is a sum over paths, and loses few of them with a unit."""

from __future__ import annotations

from residua.studies.lessons.lesson import Course, Finding, Lesson, Number


def run(course: Course) -> Finding:
    """Delete units of the deep networks of step 2, and measure which paths carry the gradient."""
    from residua.studies.lessons.material import pictures_of, studied, trained

    deep = course.depths[1]
    residual, plain = (trained(course, kind, deep) for kind in ("residual", "plain"))
    lesion = studied(course, "lesion", runs=[residual, plain])
    paths = studied(course, "paths", runs=[residual])
    measured = paths.results.results[0].measured
    units = int(measured["units"])
    losses = {}
    for result in lesion.results.results:
        kind = str(result.measured["kind"])
        same = [each["error"] for each in result.measured["single"] if not each["resizes"]]
        losses[kind] = sum(same) / max(1, len(same)) - float(result.measured["error"])
    length = next(iter(paths.verdict.numbers.values())).value
    return Finding(
        (
            f"The deep residual network has {units} units, so {2**units:,} paths.",
            f"Paths: {paths.verdict.sentence}",
            f"Lesions: {lesion.verdict.sentence}",
        ),
        (
            Number(
                f"{100 * losses['residual']:+z.1f} points", "test error, one unit less, residual", losses["residual"]
            ),
            Number(f"{100 * losses['plain']:+z.1f} points", "test error, one layer pair less, plain", losses["plain"]),
            Number(f"{length:.1f} of {units}", "branches that the gradient passes, on average", float(length)),
        ),
        (*pictures_of(lesion, 1), *pictures_of(paths)[::2]),
    )


LESSON = Lesson(
    title="A residual network is a crowd of shallow ones",
    idea=(
        "Multiply the sums out. Two units give x + F₁(x) + F₂(x + F₁(x)): the signal can skip both branches, take "
        "either, or take both. Each choice is a *path* from the image to the logits, and n units have 2ⁿ of them. Most "
        "paths take about half of the branches.",
        "A *lesion* is damage done on purpose: remove one unit from a trained network and see what happens. In a plain "
        "network there is one path, and it is cut. In a residual one half of the paths are left, and the others never "
        "needed the unit. An *ensemble* is a group of networks whose answers are averaged; its members can be missed "
        "one by one. In this respect a residual network behaves like one.",
        "Which paths does training use? Long ones pass many branches, and each weakens the gradient. Weighted by their "
        "gradient, the short paths count.",
    ),
    formulas=(
        ("(1 + F₁)(1 + F₂)…(1 + Fₙ) has 2ⁿ terms", "paths, written as if every branch were a factor"),
        ("C(n, k) = n! / (k! (n − k)!)", "paths that take k of the n branches"),
    ),
    words={
        "path": "one choice of branch or shortcut at every unit",
        "lesion": "a unit removed after training, without training again",
        "ensemble": "several networks whose answers are averaged",
    },
    runs="Deletes units of both deep networks of step 2, one and several at a time, and follows single paths back.",
    source=(
        "Veit 2016, arXiv 1605.06431, section 3 with equation 4, section 4 with figures 3 and 5, section 5 with figure "
        "6"
    ),
    run=run,
    more=("residua study lesion digits --quick", "residua study paths digits --quick"),
)
