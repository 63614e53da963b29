"""Measure a network after each epoch of training: one pass, and only the rates that training follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, zip_longest
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from residua.evaluation.measures.metrics import Tally
from residua.evaluation.multilabel.label_metrics import multilabel_metrics
from residua.specs.multilabel import LabelThresholds

MULTILABEL_RATES = ("loss", "mean_average_precision", "macro_f1", "exact_match", "count")
"""What is measured after each epoch where an image may have several labels."""


class _Batch(Protocol):
    images: Tensor
    labels: Tensor


class _Batches(Protocol):
    def epoch(self, epoch: int) -> Iterable[_Batch]: ...


def _own(value: Any) -> list[Any]:
    return [value]


@torch.inference_mode()
def quick_metrics(
    model: nn.Module,
    loader: _Batches,
    *,
    autocast: torch.dtype | None = None,
    multilabel: bool = False,
    gather: Callable[[Any], list[Any]] = _own,
) -> dict[str, float | int]:
    """Return loss, rates and count of one pass in eval mode, for the training loop after each epoch.

    The rates are `top1`, `top5`, `balanced_accuracy` and `macro_f1`, see `Metrics`. Of several labels an image they are
    `mean_average_precision`, `macro_f1` and `exact_match` at thresholds of one half, see `MultilabelMetrics`.

    The model's training mode is restored afterwards.

    Args:
        model: on the loader's device.
        loader: gives each image once; labels (B,) are class indices.
        autocast: the reduced precision to run in; None for the weights' own.
        multilabel: whether labels are (B, K) of 0 and 1.
        gather: returns what each process counted, by rank, where process r of n gives batches r, r + n, …

    Raises:
        NotFinite: the logits hold NaN or infinity.
        InputError: the loader gives no image.
    """
    training = model.training
    model.eval()
    tally: Tally | None = None
    passed: list[tuple[Tensor, Tensor]] = []
    try:
        for batch in loader.epoch(0):
            enabled = autocast is not None
            with torch.autocast(batch.images.device.type, dtype=autocast, enabled=enabled):
                logits = model(batch.images)
            if multilabel:
                passed.append((logits.float().cpu(), batch.labels.cpu()))
                continue
            tally = tally or Tally(logits.shape[1])
            tally.update(logits, batch.labels)
    finally:
        model.train(training)
    if multilabel:
        # In the order of one process: of equal scores, the order counts.
        passed = [each for each in chain(*zip_longest(*gather(passed))) if each is not None]
        whole = multilabel_metrics(
            torch.cat([logits for logits, _ in passed]),
            torch.cat([labels for _, labels in passed]).numpy(),
            LabelThresholds.even(passed[0][0].shape[1]).thresholds,
            interval=False,
        )
        return {name: getattr(whole, name) for name in MULTILABEL_RATES}
    counted = [part for (part,) in gather((tally,)) if part is not None]
    metrics = (Tally.joined(counted) if counted else Tally(1)).metrics()
    rates = ("loss", "top1", "top5", "balanced_accuracy", "macro_f1", "count")
    return {name: getattr(metrics, name) for name in rates}
