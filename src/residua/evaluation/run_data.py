"""The data that a run is judged on: opened as the run should see it, its classes matched by name."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np

from residua._base.errors import InputError
from residua._base.words import some
from residua.data.dataset import BadPolicy, Dataset, Split, open_dataset, reopen
from residua.weights.run import Run


def open_for(run: Run, data: str | Path | None, data_dir: Path | None, on_bad: BadPolicy | None) -> Dataset:
    """Open `data` as `run` should see it: its own (None, or the very same) split as in training, other data whole.

    Raises:
        InputError: the run's data is gone or has changed; nothing usable is at `data`.
    """
    known = run.data
    remedy = f"Name the data: {shlex.join(['residua', 'evaluate', str(run.folder)])} DATA"
    if data is not None:
        recorded = {key: known[key] for key in ("val_fraction", "seed", "train_images") if key in known}
        trained = on_bad or (run.recipe or {}).get("on_bad", "refuse")

        def opened(*, own: bool) -> Dataset:
            # Of its own data the run has seen a part; of other data nothing: that is judged as a whole.
            if own:
                return open_dataset(data, data_dir=data_dir, on_bad=trained, **recorded)
            return open_dataset(data, data_dir=data_dir, on_bad=on_bad or "refuse", val_fraction=0.0)

        # Listing a large set, or hashing an archive, takes its time: what lies where the run's data lay probably is it.
        expected = str(data) == known.get("given") or os.path.realpath(data) == known.get("location")
        dataset = opened(own=expected)
        own = dataset.hash == known.get("hash")
        return dataset if own == expected else opened(own=own)
    if "hash" not in known:
        raise InputError(f"{run.folder} does not say what it was trained on", "DATA to evaluate on", remedy)
    try:
        return reopen(known)
    except InputError as error:
        raise InputError(
            f"the held-out part of what {run.folder} was trained on is not at hand: {error.given}",
            error.wanted,
            remedy,
        ) from error


def with_labels_of(run: Run, dataset: Dataset, split: Split) -> Split:
    """Return the split with labels that index the run's classes, matched by name.

    Raises:
        InputError: the classes differ; both lists are named.
    """
    ours, theirs = set(run.classes), set(dataset.classes)
    if ours != theirs:
        sides = []
        if theirs - ours:
            sides.append(f"the data has {some(sorted(theirs - ours), 12)}, which the run does not know")
        if ours - theirs:
            sides.append(f"the run knows {some(sorted(ours - theirs), 12)}, which the data does not have")
        raise InputError(
            f"the classes of {dataset.given} are not those of {run.folder}: {'; '.join(sides)}",
            f"exactly the {len(ours)} classes {some(sorted(ours), 12)}",
            "Use data and runs of the same classes: rename the data's folders, or leave this run out",
        )
    place = {name: index for index, name in enumerate(run.classes)}
    order = np.array([place[name] for name in dataset.classes], np.int64)
    return replace(split, labels=order[split.labels])
