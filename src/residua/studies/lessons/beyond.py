"""Step 8: what DenseNet, squeeze-and-excitation, width and ensembles add."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from residua.studies.lessons.lesson import DATA, Course, Finding, Lesson, Number

_NETWORKS = {
    "residual": "cifar_resnet20",
    "SE": "cifar_seresnet20",
    "wide": "cifar_wrn10_2",
    "dense": "cifar_densenet_bc22_12",
}
_MEMBERS = 3  # the least that has a majority, and each costs a training


def run(course: Course) -> Finding:
    """Train one small network of each kind, and average three residual ones."""
    from residua.anatomy.inspect import inspect
    from residua.figures.axes import points
    from residua.figures.intervals import Row, interval_chart
    from residua.studies.intervals import rate
    from residua.studies.lessons.material import accuracy, held_out, logits_of, picture, subject_of
    from residua.weights.open import load

    rows, numbers = [], []
    logits, batches = [], []
    kinds = [(kind, name, 0) for kind, name in _NETWORKS.items()]
    kinds += [("residual", _NETWORKS["residual"], seed) for seed in range(1, _MEMBERS)]
    singles = []
    for kind, name, seed in kinds:
        loaded = load(_trained(course, name, seed))
        subject = subject_of(loaded)
        batches = held_out(subject)
        answers = logits_of(subject.model, batches)
        error = 1 - accuracy(answers, batches)
        if kind == "residual":
            logits.append(answers)
            singles.append(error)
        if seed == 0:
            anatomy = inspect(loaded.spec, input_shape=(3, 8, 8))
            around = rate([error], len(answers))
            rows.append(Row(kind, error, around.low, around.high, (), "c1"))
            meaning = f"test error, {kind} ({name}): {anatomy.params:,} weights, {anatomy.macs / 1e6:.1f} M MACs"
            numbers.append(Number(f"{100 * error:.1f}%", meaning, error))
    mean = sum(each.softmax(1) for each in logits) / len(logits)
    together = 1 - accuracy(mean, batches)  # type: ignore[arg-type]
    around = rate([together], len(logits[0]))
    rows.append(Row(f"{_MEMBERS} residual, averaged", together, around.low, around.high, (), "c3"))
    average = sum(singles) / len(singles)
    first = Number(
        f"{100 * (together - average):+z.1f} points",
        f"test error of the ensemble of {_MEMBERS}, against the mean of its members",
        together - average,
    )
    chart = interval_chart("test error", rows, points)
    caption = f"Lines: 95% intervals over {len(logits[0])} test images; where they overlap, no order is shown."
    return Finding(
        (
            f"The members of the ensemble err on {100 * average:.1f}% of the test images on average, and together on "
            f"{100 * together:.1f}%.",
            "The other networks are small and briefly trained on few images. Their intervals state how far chance "
            "reaches; the papers' gains were measured on larger data.",
        ),
        (first, *numbers),
        (picture(chart, caption),),
    )


def _trained(course: Course, name: str, seed: int) -> Path:
    """Return the folder of a run, trained or continued where it is not finished."""
    from residua.training.folder.run_folder import origin_path
    from residua.training.loop import train

    folder = course.runs / "beyond" / f"{name}-seed{seed}"
    fields: dict[str, Any] = {**course.recipe, "seed": seed, "learning_rate": 0.1, "val_fraction": 0.02}
    resume = origin_path(folder).exists()
    train(DATA, name, "fast", folder, resume=resume, progress=course.progress, **fields)
    return folder


LESSON = Lesson(
    title="What came afterwards",
    idea=(
        "If short paths do the work, depth has redundancy, and four answers followed.",
        "*Wide ResNet*: fewer units, more maps in each: as good, and quicker on hardware that computes much at a time. "
        "*Squeeze-and-excitation* (SE): each unit looks at the mean of every map and decides by a small network of its "
        "own how strongly each map counts. *DenseNet*: instead of adding x, put it beside: every layer reads the maps "
        "of all layers before it, so it needs to make few new ones. *Ensembles*: train a network several times from "
        "different starting weights (seeds) and average the probabilities; their errors differ, and partly cancel.",
    ),
    formulas=(
        ("x_(l+1) = x_l + s(x_l) · F(x_l)", "SE: s has one factor between 0 and 1 for each map"),
        ("x_(l+1) = [x_l, F(x_l)]", "DenseNet: brackets put maps beside each other; nothing is added"),
        ("p = (p₁ + p₂ + … + pₘ) / m", "an ensemble of m networks"),
        ("p_i = e^(z_i) / Σ e^(z_j)", "softmax: from logits z to probabilities p"),
    ),
    words={
        "DenseNet": "layers read the maps of all layers before them",
        "SE": "squeeze-and-excitation: a factor for each map",
        "softmax": "turns logits into probabilities that sum to 1",
    },
    runs="Trains a small network of each kind, and two more residual ones from different seeds.",
    source=(
        "Zagoruyko 2016, arXiv 1605.07146, section 2; Hu 2018, arXiv 1709.01507, section 3; Huang 2017, arXiv "
        "1608.06993, section 3, equation 2; He 2015, section 4.1 and table 5 (an ensemble of six: 3.57% top-5 error on "
        "ImageNet)"
    ),
    run=run,
    more=("residua study width-depth digits --quick", "residua evaluate RUN --with OTHER_RUN", "residua models"),
)
