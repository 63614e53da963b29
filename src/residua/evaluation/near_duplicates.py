"""Images of different parts that a run's network can hardly tell apart: findings for the doctor of data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from residua._base.console import Progress
from residua._base.words import counted
from residua.data.doctor.report import Finding
from residua.data.tables.label_table import ColumnNames, label_table
from residua.evaluation.measures.metrics import FloatArray, IntArray
from residua.evaluation.measures.neighbours import Nearest, Vectors
from residua.evaluation.run_data import open_for, open_run
from residua.evaluation.scores.features import collect_features
from residua.runtime.device import pick_device
from residua.weights.run import Run

NEAR = 0.2
"""Of the median distance to the nearest training image. On a CIFAR network half of the copies that were brightened by
20% or shifted by a pixel were nearer, and fewer than 1% of other images."""
KIND = "alike-across-splits"


def near_duplicates(
    run: Run | Path | str,
    data: str | Path,
    *,
    labels: str | Path | None = None,
    columns: ColumnNames = None,
    groups: str | None = None,
    data_dir: Path | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> Finding | None:
    """Return the images of validation and test parts that are nearly training images to a network, or None.

    Distances are 1 minus the cosine of features from which the mean of the training images is taken. A pair is named
    where its distance is below `NEAR` times the median over the part: how far images usually are from the nearest.

    Args:
        run: a `Run` or its folder; its classes need not be those of the data.
        data: opened as the run sees it: its own data with the validation part that it held out.
        labels: a table of the labels of `data`, as for `check`; by default the run's own for its own data.
        columns: names of its columns by role.
        groups: its column of groups.
        data_dir: where downloaded archives lie.
        device: "cpu", "cuda", …; by default the GPU where there is one.
        progress: called with (images done, images in total), one part after the other.

    Raises:
        InputError: nothing usable is at `data`; a run that cannot be loaded.
    """
    run = open_run(run, [data], multilabel=True)
    dataset = open_for(run, data, data_dir, "skip", label_table(labels, columns, groups), unlabelled=True)
    where = pick_device(device)
    held: dict[str, tuple[Vectors, IntArray]] = {}
    for name, split in dataset.splits.items():
        part = collect_features(
            run.model, split, run.preprocess_spec, batch_size=256, device=where, on_bad="skip", progress=progress
        )
        held[name] = (part.features, part.indices)
    train, train_indices = held["train"]
    mean = train.mean(axis=0, dtype=np.float64)
    pairs: list[tuple[float, tuple[str, str]]] = []
    for name in ("val", "test"):
        if name not in held:
            continue
        features, indices = held[name]
        rows, distances = nearest_to(features - mean, train - mean)
        limit = NEAR * float(np.median(distances))
        for row in np.flatnonzero(distances < limit).tolist():
            one = dataset.splits["train"].where(int(train_indices[rows[row]]))
            pairs.append((float(distances[row]), (one, dataset.splits[name].where(int(indices[row])))))
    if not pairs:
        return None
    message = (
        f"{counted(len(pairs), 'image')} outside the training part "
        f"{'is' if len(pairs) == 1 else 'are'} nearly a training image to {run.name}, so that a score may flatter"
    )
    return Finding(KIND, False, message, tuple(names for _, names in sorted(pairs)))


def nearest_to(queries: Vectors, rows: Vectors) -> tuple[IntArray, FloatArray]:
    """Return for each query (Q, D) the nearest of the rows (N, D), and 1 minus their cosine."""
    nearest = Nearest(queries, 1)
    nearest.add(rows)
    return nearest.rows[:, 0], np.maximum(1 - nearest.cosines[:, 0], 0)
