"""How deep can a network be trained, plain, gated and residual? Srivastava 2015, section 3.1; He 2015, section 4.2."""

from __future__ import annotations

import statistics
from typing import Any

from residua._base.errors import InputError
from residua.specs.highway import WITHOUT_NORMS
from residua.studies.study import FULL, QUICK, Arm, Figure, Form, Outcome, Results, Study, StudyOptions, Table, Verdict

_PLAIN, _GATED = "plain, fully connected", "highway, fully connected"
_CONV, _RESIDUAL = "plain, convolutional", "residual, convolutional"
_PAIRS = ((_PLAIN, _GATED), (_CONV, _RESIDUAL))
_DEPTHS = (14, 50, 200, 500)
# A plain layer of 71 units has as many weights as a gated one of 50 (Srivastava 2015, section 3.1).
_PLAIN_EDITS: dict[str, Any] = {"gates": False, "width": 71}
_RATE = {"learning_rate": WITHOUT_NORMS.learning_rate}


def grid(options: StudyOptions) -> list[Arm]:
    """Return four kinds of network at each depth, 6n + 2 layers: two pairs that differ in the shortcut alone."""
    depths = tuple(sorted(set(options.depths or _DEPTHS)))
    for depth in depths:
        if depth < 8 or depth % 6 != 2:
            near = max(8, 6 * round((depth - 2) / 6) + 2)
            raise InputError(f"depth {depth}", "depths of 6n + 2 layers: 8, 14, 20, …", f"The nearest is {near}")
    if len(depths) < 2:
        raise InputError(f"depths={depths[0]}", "two depths or more to compare", "For example depths=14,200")
    # Small enough that 500 layers take minutes; the digits have no more pixels.
    size = {"input_size": 8} if options.quick else {}
    arms = []
    for depth in depths:
        gated = f"highway_mlp{depth}"
        arms += [
            Arm(f"{_PLAIN}, {depth} layers", gated, _PLAIN_EDITS | size, _RATE, _PLAIN, depth),
            Arm(f"{_GATED}, {depth} layers", gated, size, _RATE, _GATED, depth),
            Arm(f"{_CONV}, {depth} layers", f"cifar_plain{depth}", size, {}, _CONV, depth),
            Arm(f"{_RESIDUAL}, {depth} layers", f"cifar_resnet{depth}", size, {}, _RESIDUAL, depth),
        ]
    return arms


def conclude(results: Results) -> Outcome:
    """Compare how deep each kind still learns, by its error on training images."""
    from residua.figures.axes import points
    from residua.figures.lines import Series, line_chart
    from residua.figures.palette import LINES

    errors = {group: _errors(results, group) for group in results.groups()}
    depths = sorted({arm.x for arm in results.arms})
    lines = [
        Series(group, LINES[index], [by_depth.get(depth) for depth in depths])
        for index, (group, by_depth) in enumerate(errors.items())
    ]
    figure = line_chart("training error by depth", "layers", depths, lines, points)
    caption = "Error on training images after the last epoch, without augmentation; mean over the seeds."
    header = ("network", *(f"{depth:g} layers" for depth in depths))
    rows = tuple(
        (group, *(points(by_depth[depth]) if depth in by_depth else "–" for depth in depths))
        for group, by_depth in errors.items()
    )
    guess = f"Error on training images. A network that guesses errs on {points(1 - 1 / results.classes)}."
    return Outcome(
        _verdict(results, errors), (Figure(figure, caption),) if figure else (), (Table(guess, header, rows),)
    )


def _errors(results: Results, group: str) -> dict[float, float]:
    """Return the mean training error by depth."""
    by_depth = {}
    for arm in results.done(group):
        known = [one.train_error for one in results.of(arm.label) if one.train_error is not None]
        if known:
            by_depth[arm.x] = statistics.fmean(known)
    return by_depth


def _verdict(results: Results, errors: dict[str, dict[float, float]]) -> Verdict:
    from residua.studies.comparison import HARDLY

    most = HARDLY * (1 - 1 / results.classes)
    deepest = {
        group: max((depth for depth, error in by_depth.items() if error <= most), default=0.0)
        for group, by_depth in errors.items()
    }
    words = [f"{group}: {f'up to {depth:g} layers' if depth else 'at no depth'}" for group, depth in deepest.items()]
    tried = sorted({arm.x for arm in results.arms})
    missing = [arm.label for arm in results.arms if not results.of(arm.label)]
    details = [
        f"Learning means a training error of at most {most:.0%}. The depths are {', '.join(f'{x:g}' for x in tried)}."
    ]
    if missing:
        details.append(f"Gave no result: {'; '.join(missing)}.")
    better = [deepest.get(gated, 0.0) > deepest.get(plain, 0.0) for plain, gated in _PAIRS]
    sentence = f"Networks learn, {'; '.join(words)}."
    if missing or not any(deepest.values()):
        return Verdict("undecided", sentence, tuple(details), deepest)
    answer = "yes" if all(better) else "undecided" if any(better) else "no"
    return Verdict(answer, sentence, tuple(details), deepest)  # type: ignore[arg-type]


_SHOWS = (
    "Two pairs: fully connected layers without normalisation, plain or with a gated carry, as in Srivastava 2015; "
    "convolutions with batch normalisation, plain or with identity shortcuts, as in He 2015. In a pair the shortcut "
    "differs, and the width of the fully connected layers, which keeps their weights equal. Between the pairs much "
    "differs, the learning rate too: without normalisation gated layers diverge at the others' rate. "
)

STUDY = Study(
    name="depth-without-shortcuts",
    question="Do networks of hundreds of layers train with gates or shortcuts, and not without?",
    source="Srivastava 2015, arXiv 1507.06228, section 3.1 and figure 1; He 2015, arXiv 1512.03385, section 4.2",
    grid=grid,
    full=Form("paper", {**FULL, "warmup_epochs": 1.0}, _SHOWS + "The recipe of He 2015 for all of them."),
    quick=Form(
        "fast",
        {**QUICK, "epochs": 6, "train_images": 1200, "measure_train": 500},
        _SHOWS + "Small images and a short training: whether a network begins to learn shows, not where it ends.",
    ),
    conclude=conclude,
    takes_depths=True,
)
