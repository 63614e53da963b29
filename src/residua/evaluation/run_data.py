"""Open runs, and the data that they are scored on: split as in training, classes matched by name."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from residua._base.errors import InputError
from residua._base.run_files import FOLDS_FILE, is_run
from residua._base.words import counted, some
from residua.data.corrections import Corrections
from residua.data.dataset import Dataset, Split
from residua.data.decode import FORMATS
from residua.data.open import open_data, recorded_table, reopen
from residua.data.sources.table import read_labelled
from residua.data.tables.label_table import LabelTable
from residua.specs.fields import BadPolicy
from residua.weights.bundle.signed import is_bundle
from residua.weights.ensemble import Average, is_ensemble, member_folders, open_ensemble
from residua.weights.local import location_of_data, table_of_data
from residua.weights.open import load
from residua.weights.run import Run

_OTHER_DATA = "Name the data's class folders as the run names its classes, or move folders of other classes out"
_SPLITTING = ("val_fraction", "seed", "train_images", "folds", "fold")
_OTHER_RUN = "Use runs with the same classes: leave this run out"


def open_run(
    run: Run | Path | str, beside: Iterable[object] = (), *, multilabel: bool = False, ensemble: bool = False
) -> Run:
    """Return a run, loaded where it was given by name.

    Here everything that takes a run decides whether it may be one of several labels an image: by default it may not.

    Args:
        run: a `Run`, its folder or a name that `load` takes.
        beside: the paths given after it; a run among them shows that the two were swapped.
        multilabel: whether the caller does what is right for a run of several labels an image.
        ensemble: whether the caller asks for logits alone: a folder of several runs then answers as one, see
            `residua.weights.ensemble`.

    Raises:
        InputError: as `load`; a folder of several runs without `ensemble`; a run whose network gives no logits of an
            image; see `refuse_multilabel`.
    """
    if not ensemble and isinstance(run, Run) and isinstance(run.model, Average):
        raise one_run(run.folder)
    if ensemble and not isinstance(run, Run) and is_ensemble(run):
        return open_ensemble(run)
    opened = run if isinstance(run, Run) else _loaded(run, beside)
    opened.spec.require_logits("evaluating, predicting or explaining")
    return opened if multilabel else refuse_multilabel(opened)


def refuse_multilabel(run: Run) -> Run:
    """Return a run of one label an image.

    Raises:
        InputError: it is one of several: a softmax over its logits would answer wrongly.
    """
    if run.multilabel is not None:
        raise InputError(
            f"{run.name}, a run whose images may have several labels",
            "a run of one label an image: what is asked for ranks classes that exclude each other",
            "evaluate, compare, predict, explain, embed, similar, export and serve take runs of several labels",
        )
    return run


def _loaded(run: Path | str, beside: Iterable[object]) -> Run:
    try:
        return load(run)
    except InputError as error:
        if not isinstance(run, str | Path) or not Path(run).exists() or is_run_or_bundle(Path(run)):
            raise
        if is_ensemble(run):
            raise one_run(Path(run)) from error
        swapped = next((each for each in beside if isinstance(each, str | Path) and is_run_or_bundle(Path(each))), None)
        if swapped is not None:
            raise InputError(
                f"{run}, which is no run, before {swapped}, which is one",
                "the run first, then what it is applied to",
                "Did you swap them?",
            ) from error
        if Path(run).suffix.lower() in FORMATS:
            raise InputError(
                f"{run}, which is an image and no run", "a run folder", "Name the run first, then the images"
            ) from error
        raise


def members_of(run: Run | Path | str) -> list[Run | Path | str]:
    """Return the runs of a folder of several, such as a cross-validation's, in order; of anything else, that alone."""
    return [run] if isinstance(run, Run) or not is_ensemble(run) else list(member_folders(run))


def one_run(folder: Path) -> InputError:
    """Return the error that a folder of several runs was given where one run is wanted."""
    return InputError(
        f"{folder}, which holds {'a run per fold' if (folder / FOLDS_FILE).is_file() else 'several runs'}",
        "one run; evaluate and predict take all of them, as an ensemble",
        f"Name one of them: {next(iter(member_folders(folder)), folder / 'fold-1')}",
    )


def is_run_or_bundle(path: Path | str) -> bool:
    """Return whether a path is a run's folder, or the model file of one by itself."""
    try:
        return is_run(path) or is_bundle(Path(path))
    except (OSError, ValueError):
        return False


def open_runs(runs: Sequence[Run | Path | str], *, multilabel: bool = False) -> list[Run]:
    """Return runs, loaded where they were given by name; `multilabel` as for `open_run`.

    Raises:
        InputError: a run is named twice.
    """
    opened = [open_run(run, runs[index + 1 :], multilabel=multilabel) for index, run in enumerate(runs)]
    identities = [(run.folder.resolve(), run.bundle.kept) for run in opened]
    twice = [str(run.folder) for run, own in zip(opened, identities, strict=True) if identities.count(own) > 1]
    if twice:
        raise InputError(f"{twice[0]} twice", "different runs", "Name each run once")
    return opened


def open_for(
    run: Run,
    data: str | Path | None,
    data_dir: Path | None,
    on_bad: BadPolicy | None,
    table: LabelTable | None = None,
    *,
    unlabelled: bool = False,
) -> Dataset:
    """Open `data` as `run` should see it: its training data split as in training, other data as a whole.

    `data` None means the training data, at its recorded place. Without a `table`, that data has the run's own. Other
    data has as many labels an image as the run; with `unlabelled`, where no label is used, as many as it has.

    Raises:
        InputError: the run's data is gone or has changed; nothing usable is at `data`.
    """
    known = recorded_data(run)
    own_table = recorded_table(known)
    remedy = f"Name the data: {shlex.join(['residua', 'evaluate', str(run.folder)])} DATA"
    if data is not None:
        recorded: dict[str, Any] = {key: known[key] for key in _SPLITTING if key in known}
        recorded["corrections"] = Corrections(known.get("corrections", {}))
        trained = on_bad or (run.recipe or {}).get("on_bad", "refuse")

        def opened(*, own: bool) -> Dataset:
            # The run has seen a part of its own data, and nothing of other data, which is therefore scored as a whole.
            several = True if run.multilabel and (own or not unlabelled) else None
            if own:
                return open_data(
                    data, table or own_table, data_dir=data_dir, on_bad=trained, multilabel=several, **recorded
                )
            judged: dict[str, Any] = {"on_bad": on_bad or "refuse", "val_fraction": 0.0, "partial": True}
            return open_data(data, table, data_dir=data_dir, multilabel=several, **judged)

        # Opening a large set takes long: the likelier case comes first, the other only where the hash differs.
        places = (str(data).rstrip("/"), os.path.realpath(data))
        expected = str(data) == known.get("given") or known["location"] in places
        if table is not None:
            own_file = own_table and os.path.realpath(own_table.file)
            expected = expected and os.path.realpath(table.file) == own_file
        dataset = opened(own=expected)
        own = dataset.hash == known.get("hash")
        return dataset if own == expected else opened(own=own)
    if table is not None:
        raise InputError(f"labels={table.file} without data", "the folder of the images", remedy)
    if "hash" not in known:
        raise InputError(f"{run.folder} does not record what it was trained on", "DATA to evaluate on", remedy)
    try:
        return reopen(known)
    except InputError as error:
        raise InputError(
            f"the held-out part of what {run.folder} was trained on is not available: {error.given}",
            error.wanted,
            remedy,
        ) from error


def recorded_data(run: Run) -> dict[str, Any]:
    """Return what the run records of its data, with its places on this machine; older bundles state them themselves."""
    placed = {**run.data, "location": str(run.data.get("location") or location_of_data(run.folder))}
    if "table" in placed:
        placed["table"] = placed["table"] | {"file": table_of_data(run.folder) or placed["table"]["file"]}
    return placed


def with_labels_of(run: Run, dataset: Dataset, split: Split, *, partial: bool = False) -> Split:
    """Return the split with labels that index the run's classes, matched by name.

    Args:
        run: the run.
        dataset: the data set of the split.
        split: its labels index the classes of `dataset`.
        partial: whether the data may lack classes of the run, which then have no images.

    Raises:
        InputError: the data has classes that the run does not know, or lacks some; both lists are named. Of a table
            the rows with unknown labels are named.
    """
    if dataset.multilabel != (run.multilabel is not None):
        kinds = ("one label", "several labels")[:: -1 if dataset.multilabel else 1]
        raise InputError(
            f"{dataset.given} with {kinds[0]} an image, for {run.folder}, which was trained on {kinds[1]}",
            f"images with {kinds[1]} each",
            "Name the table of the labels: labels=FILE.csv" if run.multilabel else "Give images of one label each",
        )
    ours, theirs = set(run.classes), set(dataset.classes)
    if theirs - ours and dataset.table is not None:
        raise _unknown_labels(run, dataset, theirs - ours)
    if theirs - ours or (ours - theirs and not partial):
        raise _other_classes(run, f"the classes of {dataset.given}", "the data", dataset.classes, _OTHER_DATA)
    index_of = {name: index for index, name in enumerate(run.classes)}
    order = np.array([index_of[name] for name in dataset.classes], np.int64)
    if dataset.multilabel:
        labels = np.zeros((len(split), len(run.classes)), np.int64)
        labels[:, order] = split.labels
        return replace(split, labels=labels)
    return replace(split, labels=order[split.labels])


def _unknown_labels(run: Run, dataset: Dataset, unknown: set[str]) -> InputError:
    assert dataset.table is not None
    table = LabelTable(dataset.table.file, **dataset.table.columns)
    labelled = read_labelled(Path(dataset.location or dataset.given), table, dataset.multilabel)
    rows = [
        f"{each.row}: {some(sorted(own), 3)}"
        for each in labelled.rows
        if (own := unknown & set(each.row.labels if dataset.multilabel else (each.row.label,)))
    ]
    return InputError(
        f"{table.file}: {counted(len(rows), 'row')} with labels that {run.folder} does not know: {some(rows, 5, '; ')}",
        f"the {counted(len(run.classes), 'label')} of the run: {some(sorted(run.classes), 12)}",
        "Correct these rows, or leave the labels or the rows out",
    )


def refuse_other_classes(run: Run, first: Run) -> None:
    """Refuse a run whose classes differ from the first run's, their order aside.

    Raises:
        InputError: they differ; what each of them lacks is named.
    """
    if set(run.classes) != set(first.classes):
        raise _other_classes(run, f"the classes of {first.folder}", first.name, first.classes, _OTHER_RUN)


def _other_classes(run: Run, what: str, who: str, classes: Sequence[str], remedy: str) -> InputError:
    ours, theirs = set(run.classes), set(classes)
    sides = []
    if theirs - ours:
        sides.append(f"{who} has {some(sorted(theirs - ours), 12)}, which the run does not know")
    if ours - theirs:
        sides.append(f"the run knows {some(sorted(ours - theirs), 12)}, which {who} does not have")
    return InputError(
        f"{what} are not those of {run.folder}: {'; '.join(sides)}",
        f"the {counted(len(ours), 'class', 'classes')} of the run: {some(sorted(ours), 12)}",
        remedy,
    )
