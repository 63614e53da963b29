"""Claiming a run's folder: it is new, or what is asked now is what it was begun with."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.files import write_text, writing
from residua._base.run_files import CHECKPOINTS, LAUNCHERS, LOCK_FILE
from residua._base.words import counted, some
from residua.data.dataset import Dataset
from residua.data.decoded.image_digests import ImageDigests, changed_names, file_names, read_digests
from residua.training.folder.arithmetic import Arithmetic
from residua.training.folder.run_folder import (
    DataRecord,
    RunRecord,
    checkpoints_of,
    digests_path,
    is_finished,
    origin_path,
    write_origin,
)
from residua.training.recipe import FREE_FIELDS
from residua.training.recipe_file import FEW, differences
from residua.training.request import Request


def claim(request: Request, launchers: frozenset[str] = frozenset()) -> None:
    """Make the folder this run's, or check that it is; the caller holds the folder's lock.

    Args:
        request: what is asked.
        launchers: recorded, so that processes that these torchruns start again know the folder as theirs.

    Raises:
        InputError: the folder holds a run that is not to be resumed; or the network, the recipe or the initial weights
            of the run to be resumed differ, with every difference named.
    """
    if request.origin:
        if departures := _departures(request, request.origin):
            raise InputError(
                f"{request.folder} was started differently: {'; '.join(departures)}",
                "the same data, network and recipe",
                f"Go on as it was started: {request.command}; or give a different folder: out=FOLDER"
                + f", and to train a finished run on weights={str(request.folder)!r}" * is_finished(request.folder),
            )
        _record_launchers(request.folder, launchers)
        return
    begun = origin_path(request.folder).exists()
    taken = sorted(entry.name for entry in request.folder.iterdir() if not _is_ours(entry))
    if begun or taken:
        raise InputError(
            f"{request.folder} already holds {'a run' if begun else some(taken)}",
            "a folder of its own for each run",
            ("Go on with that run by resume=True, or give" if begun else "Give") + " a different folder: out=FOLDER",
        )
    # Before the origin, which makes the folder a run: killed in between, the same torchrun begins it.
    _record_launchers(request.folder, launchers)
    record(request, None, None)


def _record_launchers(folder: Path, launchers: frozenset[str]) -> None:
    if launchers:
        with writing(folder):
            write_text(folder / LAUNCHERS, "\n".join(sorted(launchers)))
    else:
        (folder / LAUNCHERS).unlink(missing_ok=True)


@contextmanager
def opening(request: Request, *, new: bool) -> Iterator[None]:
    """Withdraw a new run's record when its input turns out to be unusable, so that the folder can be used again.

    A folder that is `new` is removed too.
    """
    try:
        yield
    except InputError:
        if not request.origin:
            origin_path(request.folder).unlink(missing_ok=True)
            (request.folder / LAUNCHERS).unlink(missing_ok=True)
            with suppress(OSError):
                checkpoints_of(request.folder).rmdir()
                if new:
                    (request.folder / LOCK_FILE).unlink()
                    request.folder.rmdir()
        raise


def record(
    request: Request, dataset: Dataset | None, digests: ImageDigests | None, arithmetic: Arithmetic | None = None
) -> None:
    """Write into the folder what a resumption repeats; the data once it is opened."""
    data: DataRecord | None = None
    if dataset is not None:
        data = {
            "given": dataset.given,
            "location": dataset.location,
            "hash": dataset.hash,
            "classes": list(dataset.classes),
            "images": len(dataset.splits["train"]),
        }
        if dataset.table is not None:
            data["table"] = dataset.table.to_dict()
    # The digests first: a record of data promises that they are there.
    if digests is not None:
        digests.write(digests_path(request.folder))
    write_origin(
        request.folder,
        RunRecord(
            request.spec,
            request.initial_weights,
            request.recipes,
            data,
            request.full_provenance,
            request.corrections.labels if request.corrections else {},
            request.table,
            request.missing_weights,
            request.trials,
            arithmetic,
            request.teachers,
        ),
    )


def refuse_different_names(request: Request, dataset: Dataset) -> None:
    """Compare the classes and the names of opened data with those that the run was begun on; reads no image.

    Raises:
        InputError: they differ; each is named.
        Damaged: the record of the files cannot be read.
    """
    was = request.origin.data if request.origin else None
    if was is None:
        return
    changes = _table_changes(was.get("table"), dataset)
    if was["classes"] != list(dataset.classes):
        changes.append(f"the classes are {some(dataset.classes)} now, were {some(was['classes'])}")
    then = read_digests(digests_path(request.folder))
    names = file_names(dataset).values()
    if then is not None and names:
        changes += _listed(changed_names(names, then.names))
    elif not changes and was["hash"] != dataset.hash:
        changes.append(f"the data {dataset.given} is not what {was['given']} was (its hash differs)")
    _refuse(request, changes)


def _table_changes(was: Mapping[str, Any] | None, dataset: Dataset) -> list[str]:
    """Return how the table of the labels differs from that of the run, to the byte; nothing where neither has one."""
    now = dataset.table
    if was is None or now is None:
        source = "a table" if now else "the names of folders"
        return [f"the labels come from {source} now"] if (was is None) != (now is None) else []
    roles = [role for role in {**was["columns"], **now.columns} if now.columns.get(role) != was["columns"].get(role)]
    changes = [f"{now.file} has different content"] * (now.sha256 != was["sha256"])
    return changes + [f"{role} comes from column {now.columns.get(role)} now" for role in roles]


def refuse_different_content(request: Request, digests: ImageDigests | None, left_out: Collection[str]) -> None:
    """Compare every image file, to the byte, with what it was when the run was begun.

    A run of an earlier version has no record of the files: a warning states that their bytes are not compared.

    Args:
        request: of the run.
        digests: of the files as they are now; None for data that is no files.
        left_out: names of files that the report leaves out and that decide no weights; they may differ.

    Raises:
        InputError: files differ; each is named.
        Damaged: the record of the files cannot be read.
    """
    then = read_digests(digests_path(request.folder)) if request.origin and request.origin.data else None
    if digests is not None and then is None and request.origin and request.origin.data:
        path = digests_path(request.folder)
        warnings.warn(f"{path} is not there: the bytes of the images are not compared", stacklevel=2)
    if digests is not None and then is not None:
        changes = digests.differences(then)
        _refuse(request, _listed({name: change for name, change in changes.items() if name not in left_out}))


def _listed(changes: dict[str, str]) -> list[str]:
    count = counted(len(changes), "file differs", "files differ")
    return [f"{count}: {some(f'{name} {change}' for name, change in changes.items())}"] if changes else []


def _refuse(request: Request, changes: Sequence[str]) -> None:
    if changes:
        raise InputError(
            f"the data of {request.folder} has changed since the run was started: {'; '.join(changes)}",
            "the same images, with the same labels, to the byte",
            "Restore these files, or train on the data as it is now in a different folder: out=FOLDER",
        )


def _is_ours(entry: Path) -> bool:
    """Return whether a new run may find this entry in its folder: its lock, a leftover of a killed
    writer, or the folder of checkpoints."""
    return entry.name == LOCK_FILE or entry.name.endswith(".part") or entry.name == CHECKPOINTS


def _departures(request: Request, origin: RunRecord) -> list[str]:
    now, was = request.spec.to_json(), origin.spec.to_json()
    departures = [
        f"the network's {key} is {now.get(key)!r} now, was {was.get(key)!r}"
        for key in {**was, **now}
        if now.get(key) != was.get(key)
    ]
    begun = origin.initial_weights.given if origin.initial_weights else None
    asked = request.initial_weights.given if request.initial_weights else None
    if asked != begun:
        departures.append(f"the weights to begin with are {asked!r} now, were {begun!r}")
    if (request.corrections.labels if request.corrections else {}) != origin.corrections:
        departures.append("the corrections of labels are others now")
    if request.teachers != origin.teachers:
        ours, theirs = (some(map(str, each)) or "none" for each in (request.teachers, origin.teachers))
        departures.append(f"the teachers are {ours} now, were {theirs}")
    # Before the data was opened, nobody knows which of the two it is.
    for count in (origin.data["images"],) if origin.data else (FEW, 0):
        recipe, begun_with = request.recipes.of(count), origin.recipes.of(count)
        free = {key: getattr(recipe, key) for key in FREE_FIELDS}
        departures += differences(recipe, dataclasses.replace(begun_with, **free))
    return list(dict.fromkeys(departures))
