"""Writing a data set as shards, with an index that states what each must hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from residua._base.console import Progress
from residua._base.errors import InputError, at_least_one
from residua._base.files import atomic_path, check_empty, sha256_file, write_text, writing
from residua._base.json_file import read_json
from residua.data.dataset import EMBEDDED, Dataset, Split
from residua.data.decode.workers import default_workers
from residua.data.random import order
from residua.data.shards.index import (
    INDEX_FILE,
    PLAN_FILE,
    Index,
    Shard,
    check_files,
    check_sizes,
    other_bytes,
    read_index,
)
from residua.data.shards.members import PartIndex, beside, join_members, save_members
from residua.data.shards.write import ShardFormat, ShardPlan, Writer, writer_of
from residua.specs.fields import checked

SHARD_MEGABYTES = 256
"""The size of a shard by default: some seconds of reading."""
_SHUFFLE = 0  # the seed of the order in which images are packed
_MOST_SHARDS = 1_000_000


class _Progress(TypedDict):
    plan: str
    done: dict[str, dict[str, Any]]


def pack(
    dataset: Dataset,
    out: Path,
    *,
    shard_megabytes: int = SHARD_MEGABYTES,
    form: ShardFormat = "tar",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Index:
    """Write the parts of a data set as `PART-000000.tar`, …, and `index.json`; or as parquet files.

    Encoded images are copied as they are; decoded ones become PNG files. They are shuffled once, so that each shard
    holds images of all classes. The bytes depend on the data and on `shard_megabytes` alone. Where a call was stopped,
    the same call goes on: whole shards are kept.

    Args:
        dataset: what is packed, part by part.
        out: a folder that is not there yet, or one that the same call has begun; where it has finished, nothing is
            left to do.
        shard_megabytes: of images per shard, about; 1 MB is 10⁶ bytes.
        form: "tar" for WebDataset's layout; "parquet" for the one that Hugging Face's `datasets` reads, which needs the
            extra `shards`. Single images are read in place from tar files alone.
        workers: threads, each with a shard of its own; None: one per processor.
        progress: called with (images written, images in all).

    Raises:
        InputError: `out` holds something else, or is inside of the data; an image that cannot be read; a write that is
            refused.
    """
    at_least_one(shard_megabytes=shard_megabytes)
    checked("form", form, ShardFormat)
    writer = writer_of(form, dataset.classes)
    if dataset.multilabel:
        raise InputError(
            f"{dataset.given} with several labels an image", "one label an image", "Keep the folder and its table"
        )
    if workers is not None:
        at_least_one(workers=workers)
    _refuse_inside(dataset, out)
    parts = [_plans(split, shard_megabytes * 1_000_000) for split in dataset.splits.values()]
    plans = [plan.named(form, len(part)) for part in parts for plan in part]
    identity = _identity(dataset, plans)
    if (packed := _packed(out, identity)) is not None:
        return packed
    done = _begin(out, identity)
    total = sum(len(plan.indices) for plan in plans)
    written = sum(shard.nsamples for shard in done.values())
    waiting = [plan for plan in plans if plan.name not in done]
    with writing(out), ThreadPoolExecutor(workers or default_workers()) as pool:
        pending: set[Future[Shard]] = {pool.submit(_write, writer, plan, out) for plan in waiting}
        try:
            while pending:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    shard = future.result()
                    done[shard.url] = shard
                    written += shard.nsamples
                _record(out, identity, done)
                if progress is not None:
                    progress(written, total)
        finally:
            pool.shutdown(cancel_futures=True)
        shards = tuple(done[plan.name] for plan in plans)
        joined = (_joined(out, part, shards, len(dataset.classes)) for part in dataset.splits)
        index = Index(dataset.classes, shards, tuple(joined) if form == "tar" else (), identity)
        index.write(out)
        # Of calls that were killed.
        for pattern in (".*.members", ".*.part"):
            for left in out.glob(pattern):
                left.unlink(missing_ok=True)
        (out / PLAN_FILE).unlink()
    return index


def _refuse_inside(dataset: Dataset, out: Path) -> None:
    """Raise InputError where the shards would become part of the data that they are made of."""
    if dataset.given in EMBEDDED or not Path(dataset.given).is_dir():
        return
    data = Path(dataset.given).resolve()
    if out.resolve().is_relative_to(data):
        raise InputError(
            f"out={out} inside of {dataset.given}, the data to pack",
            "a folder outside of the data, which would otherwise contain its own shards",
            f"Use out={data}-shards",
        )


def check_shards(folder: Path, progress: Progress | None = None) -> list[str]:
    """Read all shards of a folder and return what differs from its index, a sentence each; [] where nothing does.

    Raises:
        InputError: the folder has no index by `pack`.
    """
    index = read_index(folder) if folder.is_dir() else None
    if index is None:
        raise InputError(f"{folder}, without an {INDEX_FILE} by residua pack", "a folder that it wrote", "Pack it")
    sizes = check_sizes(folder, index.files)
    faults = [f"{name} {reason}" for name, reason in sizes.items()]
    whole = [file for file in index.files if file.url not in sizes]
    for number, file in enumerate(whole, 1):
        if reason := other_bytes(folder, file):
            faults.append(f"{file.url} {reason}")
        if progress is not None:
            progress(number, len(whole))
    return faults


def _plans(split: Split, shard_bytes: int) -> list[ShardPlan]:
    count = len(split)
    mean = max(1, split.images.least_bytes() // max(1, count))
    size = max(1, min(count, shard_bytes // mean))
    shuffled = order(_SHUFFLE, 0, count)
    starts = range(0, count, size)
    if len(starts) > _MOST_SHARDS:
        raise InputError(f"{len(starts):,} shards of {split.name}", f"at most {_MOST_SHARDS:,}", "Make them larger")
    # Within a shard in the order of the data: neighbours on the disk are read together.
    return [
        ShardPlan("", split, number, np.sort(shuffled[start : start + size])) for number, start in enumerate(starts)
    ]


def _identity(dataset: Dataset, plans: Sequence[ShardPlan]) -> str:
    """Return a hash of the data, and of which image goes where."""
    digest = hashlib.sha256(dataset.hash.encode())
    for plan in plans:
        digest.update(f"\0{plan.name}\0".encode())
        for index in plan.indices:
            digest.update(f"{plan.split.source(int(index))}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _packed(out: Path, identity: str) -> Index | None:
    """Return the index of a folder that the same call has finished, None elsewhere.

    Where its files are no longer what the index states, the call begins again.
    """
    if not (out / INDEX_FILE).is_file() or (out / PLAN_FILE).exists():
        return None
    index = read_index(out)
    if index is None or index.plan != identity:
        return None
    if check_files(out, index.files):
        with writing(out):
            _record(out, identity, {})
            (out / INDEX_FILE).unlink()
        return None
    return index


def _begin(out: Path, identity: str) -> dict[str, Shard]:
    """Return the shards that the same call has written before; make the folder where it has not begun."""
    plan = out / PLAN_FILE
    if not plan.is_file():
        check_empty(out)
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            _record(out, identity, {})
        return {}
    document = read_json(plan, _Progress)
    if document["plan"] != identity:
        raise InputError(
            f"out={out}, where other data or other shards were being packed", "an empty folder", "Name another folder"
        )
    shards = {name: Shard(**fields) for name, fields in document["done"].items()}
    faults = check_sizes(out, list(shards.values()))
    return {name: shard for name, shard in shards.items() if name not in faults and _has_members(out, name)}


def _has_members(out: Path, name: str) -> bool:
    return not name.endswith(".tar") or beside(out, name).is_file()


def _write(writer: Writer, plan: ShardPlan, out: Path) -> Shard:
    with atomic_path(out / plan.name) as path:
        rows = writer(plan, path)
    if rows is not None:
        save_members(out, plan.name, rows)
    path = out / plan.name
    return Shard(plan.name, len(plan.indices), path.stat().st_size, sha256_file(path), plan.split.name)


def _joined(out: Path, part: str, shards: Sequence[Shard], classes: int) -> PartIndex:
    mine = [shard for shard in shards if shard.part == part]
    return join_members(out, part, [each.url for each in mine], [each.nsamples for each in mine], classes)


def _record(out: Path, identity: str, done: dict[str, Shard]) -> None:
    document = {"plan": identity, "done": {name: asdict(shard) for name, shard in done.items()}}
    write_text(out / PLAN_FILE, json.dumps(document))


def part_counts(shards: Sequence[Shard]) -> dict[str, tuple[int, int, int]]:
    """Return (shards, images, bytes) of each part."""
    counts: dict[str, tuple[int, int, int]] = {}
    for shard in shards:
        files, images, size = counts.get(shard.part, (0, 0, 0))
        counts[shard.part] = files + 1, images + shard.nsamples, size + shard.filesize
    return counts
