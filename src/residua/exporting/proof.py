"""An export beside eager, on the same images: how often the answers agree, and how far the numbers differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from residua._base.console import Progress
from residua.data.decode import Pixels
from residua.evaluation.measures.significance import Right, mcnemar
from residua.evaluation.multilabel.average_precision import average_precisions, mean_of, paired_difference
from residua.exporting.golden import Golden
from residua.exporting.graph_input import Answers, GraphForm
from residua.exporting.names import BATCHES
from residua.exporting.part import Part


@dataclass(frozen=True)
class ProofRow:
    """An export beside eager on some images; rates are fractions of 1.

    Attributes:
        images: which, for people.
        batches: the sizes of the batches in which the export saw them.
        count: images.
        agreement: share with the same top-1.
        error: the largest difference of two outputs over the largest output of eager; None where an output is NaN or
            infinite.
        eager_top1: accuracy of eager; None without labels.
        top1: accuracy of the export.
        difference: `top1` less `eager_top1`.
        interval: 95% interval of `difference`, paired (Newcombe 1998, method 10).
    """

    images: str
    batches: tuple[int, ...]
    count: int
    agreement: float
    error: float | None
    eager_top1: float | None = None
    top1: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def answers(self) -> int:
        """How many answers `agreement` is a share of."""
        return self.count


@dataclass(frozen=True)
class LabelProofRow(ProofRow):
    """An export beside eager on images that may have several labels: each label of each image is an answer.

    Attributes:
        labels: of the network.
        eager_mean_average_precision: of eager; None without labels.
        mean_average_precision: of the export; `difference` and `interval` are those of the two.
    """

    labels: int = 0
    eager_mean_average_precision: float | None = None
    mean_average_precision: float | None = None

    @property
    def answers(self) -> int:
        """How many answers `agreement` is a share of: one per image and label."""
        return self.count * self.labels


@dataclass(frozen=True, eq=False)
class Proof:
    """What running an export showed.

    Attributes:
        rows: golden images at each batch size, then the part where there is one.
        right: for the part, whether eager and the export are right, each (N,); None without a part. With several labels
            an image, right is who gives exactly its labels.
    """

    rows: tuple[ProofRow, ...]
    right: tuple[Right, Right] | None


def prove(answers: Answers, form: GraphForm, golden: Golden, part: Part | None, progress: Progress | None) -> Proof:
    """Run an export on golden images at every batch size, and on all images of a part.

    Args:
        answers: the export, opened from its files.
        form: what it takes and gives.
        golden: the golden images with eager's answers.
        part: labelled images with eager's logits, or None.
        progress: called with (images done, images in total) of the part.
    """
    rows = [_golden_row(answers, form, golden, size) for size in BATCHES]
    if part is None:
        return Proof(tuple(rows), None)
    expected, outputs = form.expected(part.logits), []
    for places, pixels in part.raw() if form.any_size else part.batches():
        outputs.append(answers(form.fed(pixels)))
        if progress is not None:
            progress(places.stop, len(part))
    batches = (1,) if form.any_size else BATCHES
    with_part = _with_labels if form.thresholds else _with_part
    return with_part(rows, part, batches, expected, torch.cat(outputs), form)


def _golden_row(answers: Answers, form: GraphForm, golden: Golden, size: int) -> ProofRow:
    outputs = torch.cat([answers(form.fed(pixels)) for pixels in _sliced(golden, size)])
    compared = _compared(golden.expected, outputs, form)
    if form.thresholds:
        return LabelProofRow("golden", (size,), len(outputs), *compared, labels=len(form.thresholds))
    return ProofRow("golden", (size,), len(outputs), *compared)


def _sliced(golden: Golden, size: int) -> Iterator[Pixels]:
    for start in range(0, len(golden.pixels), size):
        yield golden.pixels[start : start + size]


def _with_part(
    rows: list[ProofRow], part: Part, batches: tuple[int, ...], expected: Tensor, outputs: Tensor, form: GraphForm
) -> Proof:
    before, after = ((form.answers(each).numpy() == part.labels) for each in (expected, outputs))
    paired = mcnemar(after, before)
    row = ProofRow(
        part.name,
        batches,
        len(part),
        *_compared(expected, outputs, form),
        eager_top1=float(before.mean()),
        top1=float(after.mean()),
        difference=paired.difference,
        interval=paired.interval,
    )
    return Proof((*rows, row), (before, after))


def _with_labels(
    rows: list[ProofRow], part: Part, batches: tuple[int, ...], expected: Tensor, outputs: Tensor, form: GraphForm
) -> Proof:
    """Add the row of a part whose images may have several labels."""
    before, after = ((form.answers(each).numpy() == part.labels).all(axis=1) for each in (expected, outputs))
    compared = _compared(expected, outputs, form)
    if compared[1] is None:  # nothing can be ranked
        return Proof(
            (*rows, LabelProofRow(part.name, batches, len(part), *compared, labels=len(form.thresholds))), None
        )
    eager, export = (each.double().numpy() for each in (expected, outputs))
    difference, interval, _ = paired_difference(export, eager, part.labels)
    row = LabelProofRow(
        part.name,
        batches,
        len(part),
        *compared,
        difference=difference,
        interval=interval,
        labels=len(form.thresholds),
        eager_mean_average_precision=mean_of(average_precisions(eager, part.labels)),
        mean_average_precision=mean_of(average_precisions(export, part.labels)),
    )
    return Proof((*rows, row), (before, after))


def _compared(expected: Tensor, outputs: Tensor, form: GraphForm) -> tuple[float, float | None]:
    """Return agreement and error."""
    agreement = (form.answers(expected) == form.answers(outputs)).double().mean().item()
    if not torch.isfinite(outputs).all():
        return agreement, None
    difference, largest = (outputs - expected).abs().max().item(), expected.abs().max().item()
    # A network whose outputs are all 0 has no scale: any difference from it counts in full.
    return agreement, difference / largest if largest else difference
