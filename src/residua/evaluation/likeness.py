"""Find the training images most like the worst mistakes, and draw a map of the images that were evaluated."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from residua._base.errors import InputError
from residua.data.dataset import Dataset, Split
from residua.data.decode import BadImage
from residua.data.preprocess.resize import apply_uint8
from residua.data.splitting import balanced
from residua.evaluation.measures.metrics import FloatArray, IntArray
from residua.evaluation.measures.neighbours import Nearest
from residua.evaluation.report.findings import Mistake
from residua.evaluation.report.likeness import Likeness, MistakeNeighbours, TrainingImage
from residua.evaluation.run_data import open_for, with_labels_of
from residua.evaluation.scores.features import SplitFeatures, features_by
from residua.evaluation.scores.scorer import Scorer
from residua.figures.pictures import thumbnail_uri
from residua.figures.scatter import MOST_GROUPS, Point, scatter
from residua.weights.run import Run

Projection = Literal["pca", "umap"]
MOST_COMPARED, MOST_MAPPED = 20_000, 1_500
"""Training images that are compared, and images on the map: of more as many of each class as fit."""
SHOWN, NEIGHBOURS = 12, 4


def likeness(run: Run, scorer: Scorer, worst: Sequence[Mistake], projection: Projection) -> Likeness:
    """Return the training images most like the worst mistakes, and the map.

    Args:
        run: evaluated alone.
        scorer: of that evaluation.
        worst: its mistakes, the worst first.
        projection: "pca", or "umap" (extra umap).

    Raises:
        InputError: the run's training data is gone or has changed; umap-learn is not installed.
    """
    if projection == "umap" and importlib.util.find_spec("umap") is None:
        raise InputError(
            "projection='umap' without umap-learn", "the package", "Install it: pip install 'residua[umap]'"
        )
    dataset = scorer.dataset if scorer.own else open_for(run, None, None, "skip")
    train, part = with_labels_of(run, dataset, dataset.splits["train"], partial=True), scorer.part(run)
    rows = balanced(train.labels, MOST_COMPARED, 0)
    held = features_by(scorer, run, train.subset(rows), "skip")
    shown = [mistake.index for mistake in worst[:SHOWN]]
    # Mistakes are on the map too.
    mapped = np.union1d(balanced(part.labels, MOST_MAPPED, 0), np.array(shown, np.int64)).astype(np.int64)
    seen = features_by(scorer, run, part.subset(mapped), "skip")
    places = mapped[seen.indices]
    nearest = Nearest(seen.features[np.searchsorted(places, shown)], NEIGHBOURS)
    nearest.add(held.features)
    mistakes = tuple(
        MistakeNeighbours(
            mistake.path,
            mistake.true,
            mistake.predicted,
            tuple(
                training_image(run, dataset, train, int(rows[held.indices[row]]), cosine)
                for row, cosine in zip(nearest.rows[number].tolist(), nearest.cosines[number].tolist(), strict=True)
            ),
            mistake.thumbnail,
        )
        for number, mistake in enumerate(worst[:SHOWN])
    )
    points, variance = _plane(seen.features, projection)
    return Likeness(
        mistakes=mistakes,
        compared=len(held.labels),
        training=len(train),
        projection=projection,
        mapped=len(places),
        variance=variance,
        figure=_map(run, seen, points, variance, projection),
    )


def principal_plane(features: npt.NDArray[np.floating]) -> tuple[FloatArray, float]:
    """Return the first two principal components of (N, D) as (N, 2), and the share of variance that they hold.

    The sign of each is such that its entry of greatest size is positive: the map is the same each time.
    """
    centred = np.asarray(features, np.float64) - features.mean(axis=0, dtype=np.float64)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    directions, total = directions[:2], float((sizes**2).sum())
    directions = (
        directions * np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])[:, None]
    )
    plane = np.zeros((len(centred), 2))
    plane[:, : len(directions)] = centred @ directions.T
    return plane, float((sizes[:2] ** 2).sum()) / total if total else 0.0


def _plane(features: npt.NDArray[np.floating], projection: Projection) -> tuple[FloatArray, float | None]:
    if projection == "pca":
        return principal_plane(features)
    from umap import UMAP

    neighbours = min(15, max(2, len(features) - 1))
    fitted = UMAP(n_neighbors=neighbours, metric="cosine", random_state=0, n_jobs=1).fit_transform(features)
    return np.asarray(fitted, np.float64), None


def training_image(run: Run, dataset: Dataset, train: Split, index: int, cosine: float) -> TrainingImage:
    """Return a training image of the set, with its picture where it still decodes."""
    try:
        picture = thumbnail_uri(np.ascontiguousarray(apply_uint8(train.images.read(index), run.preprocess_spec)))
    except BadImage:
        picture = ""
    return TrainingImage(dataset.image_name(train, index), run.classes[train.labels[index]], cosine, picture)


def _map(run: Run, seen: SplitFeatures, plane: FloatArray, variance: float | None, projection: Projection) -> Markup:
    predicted: IntArray = seen.logits.argmax(axis=1)
    common = np.argsort(-np.bincount(seen.labels, minlength=len(run.classes)), kind="stable")[:MOST_GROUPS]
    groups = sorted(label for label in common.tolist() if (seen.labels == label).any())
    points = []
    for row, (x, y) in enumerate(plane.tolist()):
        label, answer = int(seen.labels[row]), int(predicted[row])
        wrong = label != answer
        text = f"{run.classes[label]}, taken for {run.classes[answer]}" if wrong else run.classes[label]
        points.append(Point(x, y, groups.index(label) if label in groups else -1, text, wrong))
    share = "" if variance is None else f", {variance:.0%} of the variance"
    caption = f"{'PCA' if projection == 'pca' else 'UMAP'}{share}; ringed: wrong answers"
    return scatter("Images as the network sees them", caption, points, [run.classes[label] for label in groups])
