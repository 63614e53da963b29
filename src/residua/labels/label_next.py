"""`label_next`: which unlabelled images to label next, uncertain ones that differ from each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from residua._base.errors import InputError, at_least_one
from residua.data.decode.workers import default_workers
from residua.evaluation.measures.metrics import FloatArray, IntArray, refuse_not_finite
from residua.evaluation.measures.selection import Vectors, by_badge, by_clusters, by_margin, margins
from residua.evaluation.run_data import open_run
from residua.families.features import FeatureNetwork
from residua.inference.image_files import BadFile, Paths, each_path, image_files, listed
from residua.inference.stream import DecodedImage, as_batch, batches, computed
from residua.labels.pool import Progress
from residua.runtime.device import on_device, pick_device
from residua.specs.fields import checked
from residua.weights.run import Run

By = Literal["badge", "kmeans", "margin"]
"""badge: gradients spread out (Ash 2020). kmeans: clusters of uncertain images (Zhdanov 2019). margin: doubt alone."""
MOST = 50_000
"""Images whose features are held: of more, the most uncertain stay."""


@dataclass(frozen=True)
class Suggestion:
    """An image to label.

    Attributes:
        path: the file.
        suggested: the most probable class.
        probability: of it.
        second: the next class.
        margin: the difference of the two probabilities: 0 is undecided.
    """

    path: str
    suggested: str
    probability: float
    second: str
    margin: float


@dataclass(frozen=True)
class NextLabels:
    """The images to label next.

    Attributes:
        images: how many were looked at.
        by: how they were chosen; see `By`.
        suggestions: in the order in which to label.
        bad: files that gave no answer.
        mean_margin: of all images.
    """

    images: int
    by: str
    suggestions: tuple[Suggestion, ...]
    bad: tuple[BadFile, ...]
    mean_margin: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def label_next(
    run: Run | Path | str,
    unlabelled: Paths,
    *,
    count: int = 100,
    by: By = "badge",
    seed: int = 0,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> NextLabels:
    """Return the images whose labels would teach a run most: uncertain ones that differ from each other.

    Args:
        run: a `Run` or its folder.
        unlabelled: image files and folders.
        count: images to choose; all where there are fewer.
        by: "badge" (Ash 2020), "kmeans" (Zhdanov 2019), or "margin", which looks at doubt alone.
        seed: of the choice.
        batch_size: images per forward pass.
        device: "cpu", "cuda", …; by default the GPU where there is one.
        workers: decoding threads; by default one per processor that this process may use, at most 16.
        progress: called with (images done, 0): how many there are is not known beforehand.

    Raises:
        InputError: numbers below 1; an unknown method or device; no image that decodes.
    """
    checked("by", by, By)
    workers = default_workers() if workers is None else workers
    at_least_one(count=count, batch_size=batch_size, workers=workers)
    run = open_run(run, listed(unlabelled))
    held = _Held(max(MOST, count))
    bad: list[BadFile] = []
    for paths, probabilities, features in _answers(run, unlabelled, batch_size, device, workers, bad):
        held.add(paths, probabilities, features)
        if progress is not None:
            progress(held.seen, 0)
    if not held.seen:
        raise InputError(
            f"{', '.join(map(str, listed(unlabelled))) or 'an empty list'}, in which no image decodes",
            "unlabelled images",
            "Name files or folders of images",
        )
    paths, probabilities, features = held.rows()
    rows = _choose(by, probabilities, features, count, seed)
    return NextLabels(
        images=held.seen,
        by=by,
        suggestions=tuple(_suggestion(run, paths[row], probabilities[row]) for row in rows.tolist()),
        bad=tuple(bad),
        mean_margin=held.total / held.seen,
    )


def _choose(by: By, probabilities: FloatArray, features: Vectors, count: int, seed: int) -> IntArray:
    if by == "margin":
        return by_margin(probabilities, count)
    chooser = by_badge if by == "badge" else by_clusters
    return chooser(probabilities, features, count, seed)


def _suggestion(run: Run, path: str, row: FloatArray) -> Suggestion:
    order = np.argsort(-row, kind="stable").tolist()
    first, second = order[0], order[min(1, len(order) - 1)]
    return Suggestion(path, run.classes[first], float(row[first]), run.classes[second], float(margins(row[None])[0]))


class _Held:
    """Keeps paths, probabilities and features of the most uncertain images seen."""

    def __init__(self, most: int) -> None:
        self.seen, self.total = 0, 0.0
        self._most = most
        self._paths: list[str] = []
        self._arrays: list[tuple[FloatArray, Vectors]] = []

    def add(self, paths: list[str], probabilities: FloatArray, features: Vectors) -> None:
        """Take the next images."""
        self.seen += len(paths)
        self.total += float(margins(probabilities).sum())
        self._paths += paths
        self._arrays.append((probabilities, features))
        if len(self._paths) >= 2 * self._most:
            self._prune()

    def rows(self) -> tuple[list[str], FloatArray, Vectors]:
        """Return paths, probabilities (M, K) and features (M, D), in the order in which they came."""
        self._prune()
        return self._paths, *self._arrays[0]

    def _prune(self) -> None:
        probabilities, features = (np.concatenate(each) for each in zip(*self._arrays, strict=True))
        kept = np.sort(by_margin(probabilities, self._most))
        self._paths = [self._paths[row] for row in kept.tolist()]
        self._arrays = [(probabilities[kept], features[kept])]


def _answers(
    run: Run, unlabelled: Paths, batch_size: int, device: torch.device | str | None, workers: int, bad: list[BadFile]
) -> Iterable[tuple[list[str], FloatArray, Vectors]]:
    where, spec, classes = pick_device(device), run.preprocess_spec, len(run.classes)
    network = FeatureNetwork(on_device(run.model, where))

    def both(images: Any) -> torch.Tensor:
        return torch.cat(network.with_logits(as_batch(images, spec, where)), dim=1)

    for batch in batches(image_files(each_path(unlabelled)), spec, batch_size=batch_size, workers=workers):
        bad += [each for each in batch if isinstance(each, BadFile)]
        good = [each for each in batch if isinstance(each, DecodedImage)]
        if not good:
            continue
        pixels = [each.pixels for each in good]
        values = (computed(pixels, spec, both) if where.type == "cpu" else both(pixels)).cpu()
        refuse_not_finite(values)
        probabilities = (values[:, :classes].double() / run.temperature).softmax(dim=1).numpy()
        yield [str(each.file.path) for each in good], probabilities, values[:, classes:].numpy()
