"""Step 2: plain networks get worse with depth, in training error too."""

from __future__ import annotations

from residua.studies.lessons.lesson import Course, Finding, Lesson, Number


def run(course: Course) -> Finding:
    """Train plain and residual networks of two depths."""
    from residua.studies.lessons.material import degradation, pictures_of

    report = degradation(course)
    rows = {row.arm: row for row in report.rows()}
    numbers = []
    for kind in ("plain", "residual"):
        shallow, deep = (rows[f"{kind}-{depth}"].train_error for depth in course.depths)
        if shallow is not None and deep is not None:
            change = deep.mean - shallow.mean
            numbers.append(
                Number(
                    f"{100 * change:+z.1f} points",
                    f"training error of the {kind} network, from {course.depths[0]} to {course.depths[1]} layers",
                    change,
                )
            )
    # The first details are the changes of both kinds; the others explain the intervals.
    facts = (report.verdict.sentence, *report.verdict.details[:2], report.length)
    return Finding(tuple(filter(None, facts)), tuple(numbers), pictures_of(report))


LESSON = Lesson(
    title="A plain network gets worse when it gets deeper",
    idea=(
        "*Training* changes the weights in small *steps*: a *batch* of images passes through the network, the *loss* "
        "measures how wrong the logits are, and each weight moves a little in the direction in which the loss falls. "
        "One pass over all training images is an *epoch*. How far a step goes is the *learning rate*. Meanwhile the "
        "images are shifted a little at random (*augmentation*), so that no two epochs are the same. Other images are "
        "kept away from training: *validation* images, measured after each epoch, and *test* images, measured at the "
        "end.",
        "*Depth* is the number of layers with weights. A deeper network can do whatever a shallower one can: its "
        "additional layers would only have to pass their input on. So it should be at least as good. Experiments show "
        "otherwise: from some depth on a plain network is worse, and not only on new images, which would be "
        "*overfitting* (learning the training images by heart), but on the training images themselves. He and his "
        "colleagues called this *degradation*: the good weights exist, and training does not find them.",
        "The *error* is the share of images with a wrong answer. Watch the error on training images: overfitting would "
        "lower it, degradation raises it. Training starts from random weights, drawn from a number, the *seed*; "
        "another seed gives a slightly different error, and so do other images. Numbers in brackets are an *interval*: "
        "in 95 of 100 such experiments the true value lies inside. A difference whose interval holds 0 shows nothing.",
    ),
    formulas=(("degradation: training error(deep, plain) > training error(shallow, plain)", "the claim to test"),),
    words={
        "loss": "how wrong the logits are; here the cross-entropy, −log of the probability of the true class",
        "batch": "images that share one step",
        "epoch": "one pass over all training images",
        "learning rate": "the length of a step",
        "depth": "layers with weights",
        "error": "the share of wrong answers; accuracy is 1 − error",
        "overfitting": "better on the training images, worse on new ones",
        "degradation": "worse on both",
        "augmentation": "random changes of training images that leave their class",
        "validation": "images that training never sees; they show each epoch how it goes",
        "test": "images that are asked once, at the end",
        "seed": "the number from which random weights and orders are drawn",
        "interval": "where the true value lies in 95 of 100 such experiments",
    },
    runs="Trains four networks on handwritten digits: plain and residual, shallow and deep.",
    source="He 2015, arXiv 1512.03385, section 1 with figure 1, and section 4.2 with figure 6",
    run=run,
    more=(
        "residua study degradation digits --quick",
        "residua study depth-without-shortcuts digits --quick",
    ),
)
