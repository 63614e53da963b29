"""Measure a network after each epoch of training: one pass, and only the rates that training follows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn

from residua.evaluation.measures.metrics import Tally


class _Batch(Protocol):
    images: Tensor
    labels: Tensor


class _Batches(Protocol):
    def epoch(self, epoch: int) -> Iterable[_Batch]: ...


@torch.inference_mode()
def quick_metrics(model: nn.Module, loader: _Batches, *, autocast: torch.dtype | None = None) -> dict[str, float | int]:
    """Return loss, rates and count of one pass in eval mode, for the training loop after each epoch.

    The rates are `top1`, `top5`, `balanced_accuracy` and `macro_f1`, see `Metrics`.

    The model's training mode is restored afterwards.

    Args:
        model: on the loader's device.
        loader: gives each image once; labels (B,) are class indices.
        autocast: the reduced precision to run in; None for the weights' own.

    Raises:
        NotFinite: the logits hold NaN or infinity.
        InputError: the loader gives no image.
    """
    training = model.training
    model.eval()
    tally: Tally | None = None
    try:
        for batch in loader.epoch(0):
            enabled = autocast is not None
            with torch.autocast(batch.images.device.type, dtype=autocast, enabled=enabled):
                logits = model(batch.images)
            tally = tally or Tally(logits.shape[1])
            tally.update(logits, batch.labels)
    finally:
        model.train(training)
    metrics = (tally or Tally(1)).metrics()
    rates = ("loss", "top1", "top5", "balanced_accuracy", "macro_f1", "count")
    return {name: getattr(metrics, name) for name in rates}
