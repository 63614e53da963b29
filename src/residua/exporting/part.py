"""The images that an export is held against: a part that the run has not learnt from, with eager's answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from residua._base.console import Progress
from residua.data.ahead import in_order
from residua.data.dataset import Dataset, Split
from residua.data.decode import Pixels
from residua.data.decode.workers import default_workers
from residua.data.preprocess.resize import read_uint8
from residua.evaluation.measures.metrics import IntArray
from residua.evaluation.scores.options import ScoreOptions
from residua.evaluation.scores.scorer import open_scorer
from residua.evaluation.scores.seen import check_unseen
from residua.exporting.names import BATCHES
from residua.specs.fields import BadPolicy
from residua.specs.preprocess import PreprocessSpec
from residua.weights.run import Run

_EAGER_BATCH = 64  # images per forward pass of the original: no answer depends on it


@dataclass(frozen=True, eq=False)
class Part:
    """Images with their labels and eager's logits.

    Attributes:
        name: for people, such as "val of digits".
        dataset: where they come from.
        split: the part of it.
        preprocess: of the run.
        indices: (N,), positions in the split.
        labels: (N,), positions in the run's classes.
        logits: float32 (N, K), of eager in fp32.
        notes: caveats, sentences.
    """

    name: str
    dataset: Dataset
    split: Split
    preprocess: PreprocessSpec
    indices: IntArray
    labels: IntArray
    logits: Tensor
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def raw(self) -> Iterator[tuple[slice, Pixels]]:
        """Yield all images as they are decoded, uint8 (1, H, W, 3), and their places in `labels`."""
        for position, index in enumerate(self.indices.tolist()):
            yield slice(position, position + 1), self.split.images.read(index)[None]

    def batches(self) -> Iterator[tuple[slice, Pixels]]:
        """Yield all images, uint8 (B, H, W, 3), and their places in `labels`, in batches of 1, 2, 7, 32 in turn."""
        images = pixels_of(self.split, self.indices, self.preprocess)
        sizes, start = cycle(BATCHES), 0
        while start < len(self):
            end = min(start + next(sizes), len(self))
            yield slice(start, end), np.stack([next(images) for _ in range(start, end)])
            start = end


def open_part(
    run: Run,
    data: str | Path | None,
    *,
    data_dir: Path | None,
    on_bad: BadPolicy | None,
    progress: Progress | None,
) -> Part:
    """Open the validation part, else the test part, and compute or read eager's logits for it.

    Args:
        run: the run.
        data: what it was trained on, or other data; None for the recorded place.
        data_dir: the folder of downloaded data sets.
        on_bad: the policy for images that do not decode; None for the training's.
        progress: called with (images done, images in total).

    Raises:
        InputError: as `evaluate`.
    """
    options = ScoreOptions(
        data=data, data_dir=data_dir, on_bad=on_bad, progress=progress, device="cpu", batch_size=_EAGER_BATCH
    )
    scorer = open_scorer([run], options)
    if "val" in scorer.dataset.splits:
        # A step of the ladder is chosen by these images: the test part stays unseen.
        scorer.split = "val"
    scores = scorer.scores(run)
    note = check_unseen(run, scorer.dataset, scorer.split, "prove an export with")
    return Part(
        name=f"{scorer.split} of {scorer.dataset.name}",
        dataset=scorer.dataset,
        split=scorer.part(run),
        preprocess=run.preprocess_spec,
        indices=scores.indices,
        labels=scores.labels,
        logits=scores.logits.float(),
        notes=(*scores.notes(scorer.split), *([note] if note else [])),
    )


def pixels_of(split: Split, indices: IntArray, preprocess: PreprocessSpec) -> Iterator[Pixels]:
    """Yield images of a split as the network sees them, uint8 (H, W, 3), decoded in threads a bounded way ahead."""
    workers = min(default_workers(), torch.get_num_threads())

    def one(index: int) -> Pixels:
        return read_uint8(lambda: split.images.read(index), preprocess)

    return in_order(indices.tolist(), one, workers, in_flight=4 * workers)
