"""The training images most like an image that is explained, by the features that the classifier reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from residua._base.errors import InputError
from residua.data.dataset import Dataset, Split
from residua.data.decode import Pixels
from residua.data.preprocess.resize import apply_uint8
from residua.data.splitting import balanced
from residua.evaluation.likeness import training_image
from residua.evaluation.measures.metrics import IntArray
from residua.evaluation.measures.neighbours import Nearest
from residua.evaluation.report.likeness import TrainingImage
from residua.evaluation.run_data import open_for, with_labels_of
from residua.evaluation.scores.cache import cache_entry
from residua.evaluation.scores.features import collect_features
from residua.evaluation.scores.options import ScoreOptions
from residua.evaluation.scores.scores import Scores
from residua.families.features import FeatureNetwork
from residua.runtime.device import on_device
from residua.weights.run import Run

MOST_COMPARED = 2_000
"""Training images that are compared: of more, as many of each class as fit."""
_BATCH = 64


@dataclass(frozen=True, eq=False)
class TrainingNeighbours:
    """The training images of a run, and a network that compares others with them.

    Attributes:
        run: the run.
        dataset: its data.
        train: the part that it learnt from.
        rows: positions in that part of the images that are compared.
        features: float32 (N, D), theirs.
        network: computes features.
    """

    run: Run
    dataset: Dataset
    train: Split
    rows: IntArray
    features: npt.NDArray[np.float32]
    network: FeatureNetwork

    def nearest(self, images: torch.Tensor, count: int) -> list[tuple[TrainingImage, ...]]:
        """Return for each normalised image (B, C, H, W), on the device, the `count` most like it."""
        search = Nearest(self.network.features(images).cpu().numpy(), count)
        search.add(self.features)
        return [
            tuple(
                training_image(self.run, self.dataset, self.train, int(self.rows[row]), cosine)
                for row, cosine in zip(rows, cosines, strict=True)
            )
            for rows, cosines in zip(search.rows.tolist(), search.cosines.tolist(), strict=True)
        ]

    def pixels(self, images: Sequence[TrainingImage]) -> list[tuple[Pixels, str]]:
        """Return the pictures of neighbours as the network saw them, each with its class and cosine."""
        names = {self.dataset.image_name(self.train, int(row)): int(row) for row in self.rows}
        return [
            (
                np.ascontiguousarray(apply_uint8(self.train.images.read(names[each.path]), self.run.preprocess_spec)),
                f"{each.label}  {each.cosine:.3f}",
            )
            for each in images
            if each.thumbnail
        ]


def open_neighbours(run: Run, device: torch.device) -> TrainingNeighbours:
    """Open a run's training images; their features are cached between calls.

    Raises:
        InputError: the training data is gone or has changed, or the run does not record it; no image of it
            decodes; a run of several labels an image.
    """
    if run.multilabel is not None:
        raise InputError(
            f"the training images of {run.name}, which gives several labels an image",
            "a run of one label an image",
            "Use neighbours=0",
        )
    dataset = open_for(run, None, None, "skip")
    train = with_labels_of(run, dataset, dataset.splits["train"], partial=True)
    rows = balanced(train.labels, MOST_COMPARED, 0)
    part = train.subset(rows)
    network = FeatureNetwork(on_device(run.model, device))
    entry = cache_entry(
        run.model,
        run.spec,
        part,
        run.preprocess_spec,
        ScoreOptions(device=device),
        views="features",
        data_hash=dataset.hash,
        on_bad="skip",
    )
    height, width = run.preprocess_spec.size
    blank = torch.zeros((1, run.spec.in_channels, height, width), device=device)
    # Features stand in the cache of scores, which checks their width.
    entry = replace(entry, num_classes=network.features(blank).shape[1])
    stored = entry.read(part)
    if stored is None:
        held = collect_features(run.model, part, run.preprocess_spec, batch_size=_BATCH, device=device, on_bad="skip")
        stored = Scores("features", torch.from_numpy(held.features), held.labels, held.indices, held.skipped, 0.0)
        entry.write(stored)
    if not len(stored.indices):
        raise InputError("training images of which none decodes", "at least one", "Check the data")
    return TrainingNeighbours(run, dataset, train, rows[stored.indices], stored.logits.numpy(), network)


def neighbours_unless_gone(
    run: Run, device: torch.device, without: Callable[[str], None] | None
) -> TrainingNeighbours | None:
    """Open the training images; where they are gone, call `without` with a sentence, or raise the error if it is None.

    Raises:
        InputError: as `open_neighbours`, where `without` is None.
    """
    try:
        return open_neighbours(run, device)
    except InputError as error:
        if without is None:
            raise
        without(f"The training images most like each file are left out: {error.given}.")
        return None
