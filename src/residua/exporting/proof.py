"""An export beside eager, on the same images: how often the answers agree, and how far the numbers differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from residua._base.console import Progress
from residua.data.decode import Pixels
from residua.evaluation.measures.significance import Right, mcnemar
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


@dataclass(frozen=True, eq=False)
class Proof:
    """What running an export showed.

    Attributes:
        rows: golden images at each batch size, then the part where there is one.
        right: for the part, whether eager and the export are right, each (N,); None without a part.
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
    return _with_part(rows, part, (1,) if form.any_size else BATCHES, expected, torch.cat(outputs))


def _golden_row(answers: Answers, form: GraphForm, golden: Golden, size: int) -> ProofRow:
    outputs = torch.cat([answers(form.fed(pixels)) for pixels in _sliced(golden, size)])
    return ProofRow("golden", (size,), len(outputs), *_compared(golden.expected, outputs))


def _sliced(golden: Golden, size: int) -> Iterator[Pixels]:
    for start in range(0, len(golden.pixels), size):
        yield golden.pixels[start : start + size]


def _with_part(rows: list[ProofRow], part: Part, batches: tuple[int, ...], expected: Tensor, outputs: Tensor) -> Proof:
    before, after = ((_top1(each).numpy() == part.labels) for each in (expected, outputs))
    paired = mcnemar(after, before)
    row = ProofRow(
        part.name,
        batches,
        len(part),
        *_compared(expected, outputs),
        eager_top1=float(before.mean()),
        top1=float(after.mean()),
        difference=paired.difference,
        interval=paired.interval,
    )
    return Proof((*rows, row), (before, after))


def _compared(expected: Tensor, outputs: Tensor) -> tuple[float, float | None]:
    """Return agreement and error."""
    agreement = (_top1(expected) == _top1(outputs)).double().mean().item()
    if not torch.isfinite(outputs).all():
        return agreement, None
    difference, largest = (outputs - expected).abs().max().item(), expected.abs().max().item()
    # A network whose outputs are all 0 has no scale: any difference from it counts in full.
    return agreement, difference / largest if largest else difference


def _top1(outputs: Tensor) -> Tensor:
    """Return the most probable class, (N,); -1 where an output is NaN, which agrees with nothing."""
    return torch.where(outputs.isnan().any(1), -1, outputs.argmax(1))
