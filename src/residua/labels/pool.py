"""The images of a run's data outside its test part, with what the run's network holds of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from residua.data.dataset import Dataset, Split
from residua.data.decode import Pixels
from residua.evaluation.measures.metrics import FloatArray, IntArray
from residua.evaluation.run_data import open_for, with_labels_of
from residua.evaluation.scores.features import collect_features
from residua.runtime.device import pick_device
from residua.weights.run import Run

Progress = Callable[[int, int], None]
"""Called with (images done, images in total)."""
_BATCH = 256


@dataclass(frozen=True, eq=False)
class Pool:
    """Labelled images that decode, as one network sees them.

    Attributes:
        dataset: opened as the run sees it.
        names: of the N images; see `Dataset.image_name`.
        labels: int64 (N,), positions in the run's classes.
        features: float32 (N, D), penultimate.
        logits: float32 (N, K).
        learnt: bool (N,), whether the run was trained on the image with its label.
        own: whether the data is what the run was trained on.
        skipped: name -> reason, for images that do not decode.
    """

    dataset: Dataset
    names: tuple[str, ...]
    labels: IntArray = field(repr=False)
    features: npt.NDArray[np.float32] = field(repr=False)
    logits: npt.NDArray[np.float32] = field(repr=False)
    learnt: npt.NDArray[np.bool_] = field(repr=False)
    own: bool
    skipped: dict[str, str]
    _parts: tuple[Split, ...] = field(repr=False)
    _positions: tuple[tuple[int, int], ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, row: int) -> Pixels:
        """Decode an image: uint8 (H, W, 3).

        Raises:
            BadImage: it does not decode any more.
        """
        part, index = self._positions[row]
        return self._parts[part].images.read(index)

    def probabilities(self, temperature: float) -> FloatArray:
        """Return the network's own probabilities, (N, K)."""
        logits = torch.from_numpy(self.logits).double() / temperature
        values: FloatArray = logits.softmax(dim=1).numpy()
        return values


def open_pool(
    run: Run,
    data: str | Path | None,
    *,
    data_dir: Path | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> Pool:
    """Return the training and validation images of a run's data, or all of other data, its test part aside.

    Raises:
        InputError: data that is gone or has changed, or whose classes are not the run's; no image that decodes.
    """
    dataset = open_for(run, data, data_dir, "skip")
    own = dataset.hash == run.data.get("hash")
    parts = [
        with_labels_of(run, dataset, split, partial=True) for name, split in dataset.splits.items() if name != "test"
    ]
    total, done = sum(map(len, parts)), 0
    collected = []
    for split in parts:

        def advance(count: int, _: int, before: int = done) -> None:
            if progress is not None:
                progress(before + count, total)

        collected.append(
            collect_features(
                run.model,
                split,
                run.preprocess_spec,
                batch_size=_BATCH,
                device=pick_device(device),
                on_bad="skip",
                progress=advance,
            )
        )
        done += len(split)
    positions = tuple((part, int(index)) for part, each in enumerate(collected) for index in each.indices)
    return Pool(
        dataset=dataset,
        names=tuple(dataset.image_name(parts[part], index) for part, index in positions),
        labels=np.concatenate([each.labels for each in collected]),
        features=np.concatenate([each.features for each in collected]),
        logits=np.concatenate([each.logits for each in collected]),
        learnt=np.array([own and parts[part].name == "train" for part, _ in positions], bool),
        own=own,
        skipped={
            dataset.image_name(split, index): reason
            for split, each in zip(parts, collected, strict=True)
            for index, reason in each.skipped.items()
        },
        _parts=tuple(parts),
        _positions=positions,
    )
