"""One pass over a split, kept: the scores from which every metric is computed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from residua._base.errors import InputError
from residua.data.dataset import BadPolicy, Split
from residua.evaluation.measures.metrics import IntArray, Outcome, Tally, refuse_not_finite, tally_of
from residua.evaluation.scores.views import Viewer, check_views, count_views
from residua.runtime.environment import on_device
from residua.specs.preprocess import PreprocessSpec

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Record:
    """What a network said of each image of a split.

    Attributes:
        views: the view sets, "1" or a comma list.
        scores: (N, K), on the CPU: the logits, of the views "1"; else the logarithm of the averaged probabilities,
            whose softmax those are.
        labels: int64 (N,), the true classes.
        indices: int64 (N,), positions in the split, ascending.
        skipped: position -> reason, of the images that do not decode.
        seconds: that the pass took, wall clock; data included.
        cached: whether the scores come from an earlier pass.
    """

    views: str
    scores: Tensor = field(repr=False)
    labels: IntArray = field(repr=False)
    indices: IntArray = field(repr=False)
    skipped: dict[int, str]
    seconds: float
    cached: bool = False

    @cached_property
    def log_probabilities(self) -> Tensor:
        """(N, K), double precision."""
        return self.scores.to(torch.float64).log_softmax(dim=1)

    @cached_property
    def tally(self) -> Tally:
        """The counts of it all."""
        return tally_of(self.scores, torch.from_numpy(self.labels))

    @cached_property
    def outcome(self) -> Outcome:
        """What became of each image."""
        return self.tally.outcome()


@torch.inference_mode()
def collect(
    model: nn.Module,
    split: Split,
    preprocess: PreprocessSpec,
    *,
    views: str = "1",
    num_classes: int,
    batch_size: int = 256,
    device: torch.device,
    on_bad: BadPolicy = "refuse",
    progress: Progress | None = None,
) -> Record:
    """Run the network over the views of every image, once.

    Args:
        model: any network of (B, 3, H, W) -> (B, K); it is copied, and left as it is.
        split: images, with labels that index its classes.
        preprocess: the evaluation transform.
        views: the name of one view set.
        num_classes: K.
        batch_size: images a forward pass; the result does not depend on it.
        device: where to run it.
        on_bad: "refuse" images that do not decode, or "skip" them.
        progress: called with (images done, images in all).

    Raises:
        InputError: `batch_size` below 1, an empty split, bad images, or views that the network cannot take.
        NotFinite: the logits hold NaN or infinity.
    """
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size}", "batch_size >= 1", "Leave it out for 256")
    if len(split) == 0:
        raise InputError(
            f"split {split.name!r} has no images", "at least one image to evaluate", "Choose another with split="
        )
    check_views((views,), getattr(model, "spec", None), preprocess)
    start = time.perf_counter()
    shown = Viewer(split, preprocess, views, batch_size=batch_size, device=device, on_bad=on_bad)
    network = on_device(model, device)
    count = count_views(views)
    scores: list[Tensor] = []
    indices: list[IntArray] = []
    done = 0
    for places, images in shown:
        logits = (_checked(network(view), num_classes) for view in images)
        scores.append(next(logits) if count == 1 else _log_mean((each, 1 / count) for each in logits))
        indices.append(places)
        done += len(places)
        if progress is not None:
            progress(done, len(split))
    every = np.concatenate(indices)
    order = np.argsort(every, kind="stable")
    return Record(
        views=views,
        scores=torch.cat(scores)[torch.from_numpy(order)],
        labels=split.labels[every[order]],
        indices=every[order],
        skipped=dict(shown.skipped),
        seconds=time.perf_counter() - start,
    )


def combined(records: Sequence[Record], weights: Sequence[float] | None = None) -> Record:
    """Average the probabilities of records of the same images, equally or by `weights`, which sum to 1.

    Raises:
        InputError: they are of different images, or of other numbers of classes.
    """
    first = records[0]
    if len(records) == 1:
        return first
    for other in records[1:]:
        if not np.array_equal(first.indices, other.indices) or first.scores.shape != other.scores.shape:
            raise InputError(
                f"records of {len(first.indices)} and {len(other.indices)} images",
                "the same images and classes",
                "Evaluate all of them on the same data with the same on_bad",
            )
    shares = weights if weights is not None else [1 / len(records)] * len(records)
    # Of weight 0 nothing must remain, not even an underflow.
    kept = [(record, share) for record, share in zip(records, shares, strict=True) if share > 0]
    mean = _log_mean((record.scores, share) for record, share in kept)
    return replace(
        first,
        views=",".join(dict.fromkeys(record.views for record in records)),
        scores=mean,
        seconds=math.fsum(record.seconds for record in records),
        cached=all(record.cached for record in records),
    )


def _checked(logits: Tensor, num_classes: int) -> Tensor:
    scores = logits.detach().cpu()
    # Half precision is a subset of single: nothing is lost.
    scores = scores if scores.dtype == torch.float64 else scores.float()
    if scores.ndim != 2 or scores.shape[1] != num_classes:
        raise InputError(f"logits of shape {tuple(scores.shape)}", f"logits (B, {num_classes})")
    refuse_not_finite(scores)
    return scores


def _log_mean(weighed: Iterable[tuple[Tensor, float]]) -> Tensor:
    """Return the logarithm of the weighted mean of softmaxes: (B, K), double precision. One term is held at a time.

    Args:
        weighed: scores (B, K), of which softmax makes probabilities, and their weight > 0.
    """
    total: Tensor | None = None
    for scores, weight in weighed:
        terms = scores.double().log_softmax(dim=1).add_(math.log(weight))
        total = terms if total is None else torch.logaddexp(total, terms, out=total)
    assert total is not None
    return total
