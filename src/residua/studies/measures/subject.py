"""The subject of a study's measurements: a run, and its training and test images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from residua.data.dataset import Dataset, Split
from residua.data.loader import Batch, Loader
from residua.data.splitting import balanced
from residua.evaluation.run_data import with_labels_of
from residua.families.build import build
from residua.families.network import Classifier
from residua.weights.run import Run


@dataclass(frozen=True, eq=False)
class Subject:
    """A finished run.

    Attributes:
        run: the trained network, in evaluation mode on the CPU.
        dataset: with the splits that it was trained on.
        quick: whether the study is in its quick form.
        seed: of random draws while measuring.
    """

    run: Run
    dataset: Dataset
    quick: bool
    seed: int

    @property
    def model(self) -> Classifier:
        """The trained network."""
        assert isinstance(self.run.model, Classifier)
        return self.run.model

    def initial(self) -> Classifier:
        """Return the network as it was before training, drawn from the run's seed in the same way."""
        torch.manual_seed(int((self.run.recipe or {}).get("seed", self.seed)))
        return build(self.run.spec)

    def split(self, name: str = "") -> Split:
        """Return a split, "" for the held-out part, with labels that index the run's classes."""
        return with_labels_of(self.run, self.dataset, self.dataset.splits[name or self.dataset.held_out])

    def batches(self, split: str = "", count: int = 0, batch_size: int = 250) -> Iterator[Batch]:
        """Yield batches of a class-balanced sample of a split, without augmentation, in one fixed random order.

        Args:
            split: "train", "val" or "test"; "" for the held-out part.
            count: the most images to take; 0 for all.
            batch_size: images per batch.
        """
        part = self.split(split)
        chosen = balanced(part.labels, count or len(part), 0)
        part = part.subset(np.random.default_rng(0).permutation(chosen))
        loader = Loader(
            part,
            self.run.preprocess_spec,
            batch_size=batch_size,
            num_classes=len(self.run.classes),
            train=False,
            channels_last=True,
            on_bad="skip",
        )
        yield from loader.epoch(0)
