"""Step 3: a residual unit with zeroed weights is the identity, so depth can be added without loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from residua.studies.lessons.lesson import Course, Finding, Lesson, Number

if TYPE_CHECKING:
    from residua.families.resnet import Network


def with_zeros(network: Network) -> Network:
    """Return a copy of a plain network with one more unit at the end of each stage, whose last layer gives zeros."""
    import torch

    from residua.families.build import build
    from residua.studies.measures.surgery import branch_end, named_units, residual

    spec = network.spec.edit(depths=tuple(depth + 1 for depth in network.spec.depths))
    longer = residual(build(spec))
    longer.load_state_dict(network.state_dict(), strict=False)
    known = named_units(network)
    with torch.no_grad():
        for name, unit in named_units(longer).items():
            if name not in known:
                for parameter in branch_end(unit, longer).parameters():
                    parameter.zero_()
    return longer.eval()


def run(course: Course) -> Finding:
    """Put units with zeroed weights into trained networks, and compare the answers."""
    from residua.families.network import Classifier
    from residua.figures.axes import points
    from residua.figures.intervals import Row, interval_chart
    from residua.studies.lessons.material import accuracy, held_out, logits_of, network_of, picture, trained
    from residua.weights.deepen import deepen

    shallow = course.depths[0]
    rows, numbers, sentences = [], [], []
    for kind, style in (("residual", "c1"), ("plain", "c2")):
        network, subject = network_of(trained(course, kind, shallow))
        if kind == "plain":
            deeper: Classifier = with_zeros(network)
        else:
            deeper = deepen(network, [depth + 1 for depth in network.spec.depths])
        batches = held_out(subject)
        before, after = logits_of(network, batches), logits_of(deeper, batches)
        apart = float((before - after).abs().max())
        layers = shallow + 2 * len(network.spec.depths)
        for label, logits in ((f"{kind}, {shallow} layers", before), (f"{kind}, {layers} layers", after)):
            value = 1 - accuracy(logits, batches)
            rows.append(Row(label, value, value, value, (), style))
        numbers.append(Number(f"{apart:.3g}", f"largest change of a logit, {kind} network", apart))
        sentences.append(
            f"The trained {kind} network of {shallow} layers gets {len(network.spec.depths)} units whose last layer is "
            f"zero: of {len(before)} test images, {int((before.argmax(1) != after.argmax(1)).sum())} get another "
            f"answer, and no logit changes by more than {apart:.3g}."
        )
    chart = interval_chart("test error", rows, points)
    caption = "Test error before and after units with zeroed weights are added, without any training."
    return Finding(tuple(sentences), tuple(numbers), (picture(chart, caption),))


LESSON = Lesson(
    title="Zero weights make a residual unit pass its input on",
    idea=(
        "The *identity* is the function that returns its input. Step 2 said that additional layers would only have to "
        "compute it. For a plain layer that is a hard task: its many weights must form one exact pattern. For a "
        "residual unit it is the easiest one: with the weights of its branch *zeroed*, F(x) = 0, and x passes. (x "
        "comes out of a ReLU, so it is not negative, and the ReLU behind the sum leaves it as it is.)",
        "So a shallow residual network can be copied into a deeper one exactly. Zeros in a plain layer do the "
        "opposite: they erase the image.",
    ),
    formulas=(
        ("F = 0  ⇒  H(x) = 0 + x = x", "residual: the identity"),
        ("F = 0  ⇒  H(x) = 0", "plain: nothing is left of the image"),
    ),
    words={"identity": "the function that returns its input", "zeroed": "set to 0"},
    runs="Adds units with zeroed weights to both shallow networks of step 2, and asks all of them the same images.",
    source="He 2015, arXiv 1512.03385, section 3.1: if identities are best, weights are driven to zero",
    run=run,
)
