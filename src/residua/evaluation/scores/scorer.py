"""One part of one data set, on which runs are judged: their records of it, made once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from residua._base.errors import InputError
from residua.data.dataset import BadPolicy, Dataset, Split, open_dataset, stratify
from residua.evaluation.run_data import open_for, with_labels_of
from residua.evaluation.scores.cache import place_of
from residua.evaluation.scores.scores import Progress, Record, collect, combined
from residua.evaluation.scores.views import check_views, parse_views
from residua.runtime.environment import pick_device
from residua.weights.run import Run, load


@dataclass
class Judge:
    """Makes records of runs on one data set.

    Attributes:
        dataset: what the runs are judged on.
        split: the part of it.
        own: whether the first run was trained on this very data.
        views: names of view sets.
        device: where networks run.
        batch_size: images a forward pass.
        on_bad: what to do with images that do not decode.
        keep: whether records are read from the cache, and kept there.
        progress: called with (images done, images in all), or None.
        planned: images of all passes to come, for `progress`.
    """

    dataset: Dataset
    split: str
    own: bool
    views: tuple[str, ...]
    device: torch.device
    batch_size: int
    on_bad: BadPolicy
    keep: bool
    progress: Progress | None
    planned: int = 0
    _done: int = field(default=0, init=False)

    def part(self, run: Run, split: str | None = None) -> Split:
        """Return the part (by default the one to judge on) with labels that index the run's classes.

        Raises:
            InputError: the classes differ.
        """
        return with_labels_of(run, self.dataset, self.dataset.splits[split or self.split])

    def record(self, run: Run, split: str | None = None) -> Record:
        """Return what the run says of every image, from the cache or from a pass, in the order of its classes.

        Raises:
            InputError: as `collect`.
        """
        part = self.part(run, split)
        records = [self._one(run, part, views) for views in self.views]
        return combined(records)

    def aligned(self, found: Record, run: Run, first: Run, split: str | None = None) -> Record:
        """Return a run's record with scores and labels in the order of another run's classes."""
        if run.classes == first.classes:
            return found
        order = [run.classes.index(name) for name in first.classes]
        return replace(found, scores=found.scores[:, order], labels=self.part(first, split).labels[found.indices])

    def _one(self, run: Run, part: Split, views: str) -> Record:
        place = None
        if self.keep:
            place = place_of(
                run.model,
                run.spec,
                part,
                run.preprocess_spec,
                views=views,
                data_hash=self.dataset.hash,
                device=self.device,
                on_bad=self.on_bad,
            )
            if (found := place.read(part)) is not None:
                self._tell(len(part), len(part))
                self._done += len(part)
                return found
        made = collect(
            run.model,
            part,
            run.preprocess_spec,
            views=views,
            num_classes=len(run.classes),
            batch_size=self.batch_size,
            device=self.device,
            on_bad=self.on_bad,
            progress=self._tell,
        )
        self._done += len(part)
        if place is not None:
            place.write(made)
        return made

    def _tell(self, done: int, count: int) -> None:
        if self.progress is not None:
            self.progress(self._done + done, max(self.planned, self._done + count))


def open_judge(
    runs: Sequence[Run],
    data: str | Path | None,
    *,
    split: str | None = None,
    data_dir: Path | None = None,
    views: str = "1",
    batch_size: int = 256,
    device: torch.device | str | None = None,
    on_bad: BadPolicy | None = None,
    keep: bool = True,
    progress: Progress | None = None,
) -> Judge:
    """Open the data as the first run should see it, and refuse before any work what cannot be done.

    Raises:
        InputError: unusable options; views that one of the networks cannot take; the data is gone, has changed or has
            no such part; classes that are not those of every run.
    """
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size}", "batch_size >= 1", "Leave it out for 256")
    names, where = parse_views(views), pick_device(device)
    for run in runs:
        check_views(names, run.spec, run.preprocess_spec)
    first = runs[0]
    dataset = open_for(first, data, data_dir, on_bad)
    chosen = split or dataset.held_out
    if chosen not in dataset.splits:
        raise InputError(
            f"split {chosen!r} of {dataset.given}",
            f"one of {', '.join(sorted(dataset.splits))}",
            "Choose with split=",
        )
    own = dataset.hash == first.data.get("hash")
    trained: BadPolicy = (first.recipe or {}).get("on_bad", "refuse") if own else "refuse"
    judge = Judge(dataset, chosen, own, names, where, batch_size, on_bad or trained, keep, progress)
    for run in runs:
        judge.part(run)
    judge.planned = len(dataset.splits[chosen]) * len(names) * len(runs)
    return judge


def loaded(run: Run | Path | str) -> Run:
    """Return a run, loaded when it was named."""
    return run if isinstance(run, Run) else load(run)


def each_once(runs: Sequence[Run]) -> None:
    """Refuse a run that is named twice.

    Raises:
        InputError: says which.
    """
    folders = [run.folder.resolve() for run in runs]
    twice = [str(run.folder) for run, folder in zip(runs, folders, strict=True) if folders.count(folder) > 1]
    if twice:
        raise InputError(f"{twice[0]} twice", "different runs", "Name each run once")


def check_unseen(run: Run, dataset: Dataset, split: str, purpose: str) -> str:
    """Refuse a run that has learnt from images of `split`; return a note where that is not known, or where
    they chose its epoch, else "".

    What counts is the data's hash. Of the same data a part that stood in a folder of its own was learnt from by nobody;
    a validation part that was drawn was held out only by the runs that drew it with the same seed and share.

    Args:
        run: the run.
        dataset: the data set that was opened.
        split: the part in question.
        purpose: what the images are for, for the error: "judge it".

    Raises:
        InputError: says how many of the images it has learnt from.
    """
    name = run.folder.resolve().name
    if run.data.get("hash") != dataset.hash:
        return f"{name} was trained on other data: whether that held some of these images is not known"
    seen = _seen(run, dataset, split)
    if not seen:
        chosen = chose_epoch(run.recipe, split)
        return f"the epoch of {name} was chosen on these images, which flatters it somewhat" if chosen else ""
    if split == "train":
        return f"{name} was trained on {seen:,} of these images"
    raise InputError(
        f"{run.folder} has learnt from {seen:,} of the {len(dataset.splits[split]):,} images of the {split} part of "
        f"{dataset.given}, which are to {purpose}: its own validation part was drawn with seed {run.data.get('seed')} "
        f"and share {run.data.get('val_fraction')}, this one with seed {dataset.seed} and share {dataset.val_fraction}",
        "images that all runs have held out",
        "Train the runs with the same --seed and --val-fraction, or judge them on a test part or on other data",
    )


def chose_epoch(recipe: dict[str, Any] | None, split: str) -> bool:
    """Tell whether a training by `recipe` took the epoch that it kept by its results on `split` of its data."""
    recipe = recipe or {}
    return split == "val" and (recipe.get("keep") == "best" or recipe.get("early_stop_epochs", 0) > 0)


def _seen(run: Run, dataset: Dataset, split: str) -> int:
    if split == "test":
        return 0
    share, seed = float(run.data.get("val_fraction", 0)), int(run.data.get("seed", 0))
    same = (share, seed) == (dataset.val_fraction, dataset.seed)
    if same:
        return len(dataset.splits[split]) if split == "train" else 0
    embedded = dataset.location and not Path(dataset.given).exists()
    # With no share set aside the parts are those that stand in folders of their own.
    whole = open_dataset(
        dataset.given, data_dir=Path(dataset.location) if embedded else None, val_fraction=0.0, on_bad="skip"
    )
    if "val" in whole.splits:
        return len(dataset.splits[split]) if split == "train" else 0
    labels = whole.splits["train"].labels
    every = np.arange(len(labels))
    learnt = stratify(labels, share, seed)[0] if share else every
    parts = stratify(labels, dataset.val_fraction, dataset.seed) if dataset.val_fraction else (every, every[:0])
    return len(np.intersect1d(learnt, parts[0] if split == "train" else parts[1]))
