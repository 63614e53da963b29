"""`residua pack`: one call of `pack`, or of `check_shards`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from residua._base.console import progress_bar
from residua._base.errors import InputError
from residua._base.words import counted
from residua.cli.label_flags import ColumnWords, Labels, OptionalData
from residua.cli.show import Switch, note, print_json, say


def pack(
    data: OptionalData = None,
    /,
    *,
    out: Path | None = None,
    check: str | None = None,
    format_: Annotated[Literal["tar", "parquet"], Parameter(name="--format")] = "tar",
    shard_megabytes: int = 256,
    labels: Labels = None,
    columns: ColumnWords = (),
    workers: int | None = None,
    data_dir: Path | None = None,
    json: Switch = False,
) -> int:
    """Write a data set as shards, with an index that has a hash of each: tar files, or parquet.

    Encoded images are copied as they are. Every command takes the folder of shards as DATA, and reads single images
    from them in place. A call that was stopped goes on where it was. Exit code 1: with --check, a shard differs from
    the index.

    Parameters
    ----------
    out
        The folder to write: PART-000000.tar and so on, and index.json.
    format_
        tar, in WebDataset's layout; or parquet, as Hugging Face's datasets writes images (extra shards).
    check
        A folder of shards to read whole and compare with its index, in place of packing.
    shard_megabytes
        Megabytes of images per shard, about.
    workers
        Threads that write; left out: one per core.
    data_dir
        Where downloaded archives are kept; left out: $RESIDUA_DATA, else ~/.cache/residua/data.
    json
        Print one JSON document.
    """
    from residua.data.open import open_dataset
    from residua.data.shards import pack as packing

    if check is not None:
        if data is not None or out is not None:
            raise InputError(
                "--check beside data or --out", "one of them", f"For example: residua pack --check {check}"
            )
        if "://" in check or not Path(check).is_dir():
            what = "an address" if "://" in check else "which is no folder"
            raise InputError(f"{check}, {what}", "a folder of shards on this machine", "Check the path")
        with progress_bar("Checking", "shards") as progress:
            faults = packing.check_shards(Path(check), progress)
        if json:
            print_json({"folder": str(check), "ok": not faults, "faults": faults})
        else:
            say("\n".join(faults) or f"{check}: every shard is as the index states")
        return 1 if faults else 0
    if data is None or out is None:
        raise InputError(
            "no data, or no --out", "data and a folder to write", "For example: residua pack PHOTOS --out shards"
        )
    dataset = open_dataset(data, data_dir=data_dir, val_fraction=0.0, labels=labels, columns=columns)
    with progress_bar("Packing", "images") as progress:
        index = packing.pack(
            dataset, out, form=format_, shard_megabytes=shard_megabytes, workers=workers, progress=progress
        )
    if json:
        print_json(
            {"folder": str(out), "classes": list(index.classes), "shards": [asdict(each) for each in index.shards]}
        )
        return 0
    if any(split.groups is not None for split in dataset.splits.values()):
        note("Shards keep no groups: a validation part that is drawn from them may share groups with training.")
    for part, (files, images, size) in packing.part_counts(index.shards).items():
        say(f"{part}: {counted(images, 'image')} in {counted(files, 'shard')}, {size / 1e6:,.1f} MB")
    say(f"{out} is data now, as a folder of photos is: residua train {out} --out RUN")
    return 0
