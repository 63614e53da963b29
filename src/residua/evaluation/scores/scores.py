"""The scores of one pass over a split, from which every metric is computed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from residua._base.console import Progress
from residua._base.errors import InputError
from residua._base.words import agree, counted
from residua.data.dataset import Split
from residua.evaluation.measures.metrics import IntArray, Outcome, Tally, refuse_not_finite, tally_of
from residua.evaluation.scores.options import ScoreOptions
from residua.evaluation.scores.views import GATED, Viewer, check_views, count_views, unsure
from residua.runtime.engines.engine import Engine, open_engine
from residua.specs.fields import BadPolicy
from residua.specs.preprocess import PreprocessSpec

_Mean = Callable[[Iterable[tuple[Tensor, float]]], Tensor]


@dataclass(frozen=True, eq=False)
class Scores:
    """A network's answers for the images of a split.

    Attributes:
        views: the view sets, "1" or a comma list.
        logits: (N, K), on the CPU. For the views "1" they are the network's own; else the logarithm of the averaged
            probabilities, whose softmax gives those back. Of several labels an image it is their sigmoid that does.
        labels: int64 (N,), the true classes; or (N, K) of 0 and 1 where an image may have several.
        indices: int64 (N,), positions in the split, ascending.
        skipped: position -> reason, for the images that do not decode.
        seconds: wall clock of the pass, data included.
        cached: whether they were read from the cache.
    """

    views: str
    logits: Tensor = field(repr=False)
    labels: IntArray = field(repr=False)
    indices: IntArray = field(repr=False)
    skipped: dict[int, str]
    seconds: float
    cached: bool = False

    @cached_property
    def log_probabilities(self) -> Tensor:
        """(N, K), double precision."""
        return self.logits.to(torch.float64).log_softmax(dim=1)

    @cached_property
    def tally(self) -> Tally:
        """The counts over all images."""
        return tally_of(self.logits, torch.from_numpy(self.labels))

    @cached_property
    def outcome(self) -> Outcome:
        """The outcome of each image."""
        return self.tally.outcome()

    def notes(self, name: str) -> list[str]:
        """Return a sentence on the images of the part `name` that were left out, where some were."""
        count = len(self.skipped)
        verbs = agree(count, "does not decode and was", "do not decode and were")
        return [f"{count} of the {name} files {verbs} left out of the evaluation"] * bool(count)


@torch.inference_mode()
def collect(
    model: nn.Module,
    split: Split,
    preprocess: PreprocessSpec,
    options: ScoreOptions,
    *,
    num_classes: int,
    views: str = "1",
    on_bad: BadPolicy = "refuse",
    progress: Progress | None = None,
    engine: Engine | None = None,
) -> Scores:
    """Run the network once over the views of every image.

    Args:
        model: any network of (B, 3, H, W) -> (B, K); it is copied, and stays as it is.
        split: images, with labels that index its classes.
        preprocess: the evaluation transform.
        options: engine, precision, device, images per forward pass, and whether decoded images may come from the cache.
        num_classes: K.
        views: the name of one view set of `options`.
        on_bad: the policy of `options` for images that do not decode, settled.
        progress: called with (images done, images in total) of this pass.
        engine: that of `options` for this network, where it is open already.

    Raises:
        InputError: an empty split, bad images, or views that the network cannot take.
        NotFinite: the logits hold NaN or infinity.
    """
    if len(split) == 0:
        raise InputError(
            f"split {split.name!r} has no images", "at least one image to evaluate", "Choose another with split="
        )
    check_views((views,), getattr(model, "spec", None), preprocess)
    start = time.perf_counter()
    viewer = Viewer(
        split,
        preprocess,
        views,
        batch_size=options.batch_size,
        device=options.where,
        on_bad=on_bad,
        use_cache=options.cache,
    )
    network = engine or open_engine(model, options.engine, precision=options.precision, device=options.where)
    count = count_views(views)
    rows: list[Tensor] = []
    indices: list[IntArray] = []
    done = 0
    for places, images in viewer:
        mean = _logit_mean if split.multilabel else _log_mean
        if views == GATED:
            rows.append(_gated(network, next(images), num_classes, mean, multilabel=split.multilabel))
        else:
            logits = (checked_logits(network(view), num_classes) for view in images)
            rows.append(next(logits) if count == 1 else mean((each, 1 / count) for each in logits))
        indices.append(places)
        done += len(places)
        if progress is not None:
            progress(done, len(split))
    positions = np.concatenate(indices)
    order = np.argsort(positions, kind="stable")
    return Scores(
        views=views,
        logits=torch.cat(rows)[torch.from_numpy(order)],
        labels=split.labels[positions[order]],
        indices=positions[order],
        skipped=dict(viewer.skipped),
        seconds=time.perf_counter() - start,
    )


def _gated(network: Engine, images: Tensor, num_classes: int, mean: _Mean, *, multilabel: bool) -> Tensor:
    """Return (B, K) of a batch: averaged with its mirror image where the first view is `unsure`, else of the first."""
    first = checked_logits(network(images), num_classes)
    result = mean([(first, 1.0)])
    rows = torch.nonzero(unsure(first, multilabel=multilabel))[:, 0]
    if len(rows):
        mirrored = checked_logits(network(images[rows.to(images.device)].flip(3)), num_classes)
        result[rows] = mean([(first[rows], 0.5), (mirrored, 0.5)])
    return result


def combined(scores: Sequence[Scores], weights: Sequence[float] | None = None) -> Scores:
    """Average the probabilities of scores for the same images, equally or by `weights`, which sum to 1.

    Raises:
        InputError: the images or the numbers of classes differ.
    """
    first = scores[0]
    if len(scores) == 1:
        return first
    for other in scores[1:]:
        if not np.array_equal(first.indices, other.indices) or first.logits.shape != other.logits.shape:
            raise InputError(
                f"scores of {len(first.indices)} and {counted(len(other.indices), 'image')}",
                "the same images and classes",
                "Evaluate all of them on the same data with the same on_bad",
            )
    shares = weights if weights is not None else [1 / len(scores)] * len(scores)
    # The logarithm of weight 0 is minus infinity: such members are left out rather than added.
    weighted = [(each.logits, share) for each, share in zip(scores, shares, strict=True) if share > 0]
    return replace(
        first,
        views=",".join(dict.fromkeys(each.views for each in scores)),
        logits=(_logit_mean if first.labels.ndim == 2 else _log_mean)(weighted),
        seconds=math.fsum(each.seconds for each in scores),
        cached=all(each.cached for each in scores),
    )


def checked_logits(logits: Tensor, num_classes: int) -> Tensor:
    """Return logits (B, K) on the CPU.

    Raises:
        InputError: another shape.
        NotFinite: they hold NaN or infinity.
    """
    outputs = logits.cpu()
    if outputs.ndim != 2 or outputs.shape[1] != num_classes:
        raise InputError(
            f"logits of shape {tuple(outputs.shape)}",
            f"logits (B, {num_classes})",
            "Give a network whose classifier has an output for each class",
        )
    refuse_not_finite(outputs)
    return outputs


def _log_mean(weighted: Iterable[tuple[Tensor, float]]) -> Tensor:
    """Return the logarithm of the weighted mean of softmaxes: (B, K), double precision.

    One term is held at a time.

    Args:
        weighted: pairs of logits (B, K) and their weight > 0.
    """
    total: Tensor | None = None
    for logits, weight in weighted:
        terms = logits.double().log_softmax(dim=1).add_(math.log(weight))
        total = terms if total is None else torch.logaddexp(total, terms, out=total)
    assert total is not None
    return total


def _logit_mean(weighted: Iterable[tuple[Tensor, float]]) -> Tensor:
    """Return the logits of the weighted mean of sigmoids: (B, K), double precision.

    Both logarithms are averaged, that of the probability and that of its rest: neither end loses digits.
    """
    there: Tensor | None = None
    absent: Tensor | None = None
    for logits, weight in weighted:
        values = logits.double()
        one = functional.logsigmoid(values) + math.log(weight)
        rest = functional.logsigmoid(-values) + math.log(weight)
        there = one if there is None else torch.logaddexp(there, one)
        absent = rest if absent is None else torch.logaddexp(absent, rest)
    assert there is not None
    assert absent is not None
    return there - absent
