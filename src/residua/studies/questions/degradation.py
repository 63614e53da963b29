"""Does a plain network get worse with depth where a residual one does not? He 2015, section 4.2 and figure 6."""

from __future__ import annotations

from typing import Any

from residua._base.errors import InputError
from residua._base.words import some
from residua.specs.highway import WITHOUT_NORMS
from residua.studies.study import FULL, QUICK, Arm, Figure, Form, Outcome, Results, Study, StudyOptions, Verdict

# Without batch normalisation the gated layers diverge at the others' learning rate.
_HIGHWAY_RECIPE: dict[str, Any] = {"learning_rate": WITHOUT_NORMS.learning_rate}


def grid(options: StudyOptions) -> list[Arm]:
    """Return plain, residual and, in the full form, highway networks of each depth, 6n + 2 layers."""
    depths = options.depths or ((8, 20, 44) if options.quick else (20, 32, 44, 56))
    for depth in depths:
        if depth < 8 or depth % 6 != 2:
            near = max(8, 6 * round((depth - 2) / 6) + 2)
            raise InputError(f"depth {depth}", "depths of 6n + 2 layers: 8, 14, 20, …", f"The nearest is {near}")
    if len(set(depths)) < 2:
        raise InputError(
            f"depths={','.join(map(str, depths))}", "two depths or more to compare", "For example depths=20,56"
        )
    depths = tuple(sorted(set(depths)))
    arms = [Arm(f"plain-{depth}", f"cifar_plain{depth}", group="plain", x=depth) for depth in depths]
    arms += [Arm(f"residual-{depth}", f"cifar_resnet{depth}", group="residual", x=depth) for depth in depths]
    if not options.quick:
        arms += [
            Arm(f"highway-{depth}", "cifar_highway19", _highway(depth), _HIGHWAY_RECIPE, "highway", depth)
            for depth in depths
        ]
    return arms


def _highway(depth: int) -> dict[str, Any]:
    """Return the fields of a highway network of as many layers and the same widths as the others."""
    gated = (depth - 5) // 3
    return {
        "depths": (gated,) * 3,
        "widths": (16, 32, 64),
        "head_width": 64,
        "dropouts": (0.0,) * 4,
        "transform_bias": -2.0,
    }


def conclude(results: Results) -> Outcome:
    """Compare the deepest with the shallowest network of each kind, in training error."""
    from residua.figures.axes import points
    from residua.figures.intervals import interval_chart
    from residua.figures.palette import LINES
    from residua.studies.charts import error_curves, interval_row
    from residua.studies.intervals import rate

    figures, rows = [], []
    for group in results.groups():
        arms = results.done(group)
        svg = error_curves(f"{group} networks: error", [(f"{arm.x:g}", results.of(arm.label)) for arm in arms])
        caption = f"{group.capitalize()} networks by depth. Bold: validation images; dashed: training images."
        if svg:
            figures.append(Figure(svg, caption))
        for arm in arms:
            errors, count = _errors(results, arm.label)
            if errors:
                style = LINES[results.groups().index(group)]
                rows.append(interval_row(arm.label, rate(errors, count), errors, style))
    figures.insert(
        0,
        Figure(
            interval_chart("training error after the last epoch", rows, points),
            "Error on training images, without augmentation. Lines: 95% intervals; small dots: single seeds.",
        ),
    )
    return Outcome(_verdict(results, min((row.value for row in rows), default=1.0)), tuple(figures))


def _errors(results: Results, label: str) -> tuple[list[float], int]:
    trained = [result for result in results.of(label) if result.train_error is not None]
    return [float(result.train_error or 0.0) for result in trained], trained[0].train_count if trained else 0


def _verdict(results: Results, best: float) -> Verdict:
    """Compare the change with depth of plain and residual networks, over the same depths."""
    from residua.studies.comparison import HARDLY
    from residua.studies.intervals import Interval, contrast, difference, meaning

    arms = {group: {arm.x: arm for arm in results.done(group)} for group in results.groups()}
    both = sorted(arms.get("plain", {}).keys() & arms.get("residual", {}).keys())
    missing = [arm.label for arm in results.arms if not results.of(arm.label)]
    details = [f"Gave no result: {some(missing)}."] if missing else []
    train: dict[str, Interval] = {}
    numbers: dict[str, Any] = {}
    for group, known in arms.items():
        depths = both if group in ("plain", "residual") else sorted(known)
        if len(depths) < 2:
            continue
        shallow, deep = known[depths[0]], known[depths[-1]]
        (after, count), (before, _) = _errors(results, deep.label), _errors(results, shallow.label)
        held = [[result.test_error for result in results.of(arm.label)] for arm in (deep, shallow)]
        images = results.of(deep.label)[0].test_count
        numbers[f"{group}, test"] = test = difference(held[0], held[1], images, seed_sd=results.seed_sd)
        if not after or not before:
            continue
        numbers[group] = train[group] = difference(after, before, count, seed_sd=results.seed_sd)
        details.append(
            f"{group.capitalize()}: from {shallow.x:g} to {deep.x:g} layers the training error changes by "
            f"{train[group].percent()} points, the test error by {test.percent()}."
        )
    details += meaning(train.values(), results.seed_sd)
    if not {"plain", "residual"} <= train.keys():
        return Verdict("undecided", "Too few networks gave a result to compare two depths.", tuple(details), numbers)
    if best > HARDLY * (1 - 1 / results.classes):
        text = f"The networks have hardly learnt: the best errs on {best:.1%} of the training images."
        return Verdict("undecided", text, ("More epochs may decide.", *details), numbers)
    plain, residual = train["plain"], train["residual"]
    numbers["plain beside residual"] = beside = contrast(plain, residual)
    span = f"from {both[0]:g} to {both[-1]:g} layers"
    changes = f"plain {plain.percent()} points, residual {residual.percent()}, apart by {beside.percent()}"
    if plain.low > 0 and residual.low > 0:
        text = f"Both get worse {span} in training error, the residual network too: {changes}."
        return Verdict("no", text, tuple(details), numbers)
    if plain.low > 0 and beside.low > 0:
        text = f"The plain network gets worse {span}, in training error, and the residual one does not: {changes}."
        return Verdict("yes", text, tuple(details), numbers)
    if plain.high < 0:
        text = f"The plain network does not get worse {span} in training error: {changes}."
        return Verdict("no", text, tuple(details), numbers)
    if plain.low > 0:
        text = (
            f"The plain network gets worse {span} in training error; for the residual one it is undecided: {changes}."
        )
        return Verdict("undecided", text, tuple(details), numbers)
    text = f"No degradation can be distinguished from chance {span} in training error: {changes}."
    return Verdict("undecided", text, tuple(details), numbers)


STUDY = Study(
    name="degradation",
    question="Does a plain network get worse with depth, in training error too, where a residual one does not?",
    source="He 2015, arXiv 1512.03385, section 4.2 and figure 6; highway networks: Srivastava 2015, arXiv 1507.06228",
    grid=grid,
    full=Form(
        "paper",
        FULL,
        "The paper's recipe, which has 64,000 steps there: what it shows of CIFAR-10 can be laid beside figure 6. "
        "The highway networks have the depth and widths of the others, no batch normalisation, and a tenth of the "
        "learning rate. With one seed the intervals are over images alone.",
    ),
    quick=Form(
        "fast",
        QUICK,
        "Short training shows how fast each network learns: whether depth without shortcuts "
        "hinders training is seen early. They do not show where training ends: accuracies are far below the paper's, a "
        "deep network that lags here might catch up later, and a test error means little for one trained in full. "
        "Highway networks are left to the full form.",
    ),
    conclude=conclude,
    takes_depths=True,
)
