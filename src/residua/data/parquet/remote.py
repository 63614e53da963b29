"""A data set behind an address: tar files that are fetched as they are needed, parquet files at the start."""

from __future__ import annotations

import functools
from pathlib import Path

from residua._base.errors import InputError
from residua._base.packages import package
from residua.data.dataset import Dataset
from residua.data.parquet.open import Readers, assemble
from residua.data.parquet.row_groups import EXTRA, ParquetFile, read_file
from residua.data.shards.fetched import LIMIT_BYTES
from residua.data.shards.files import PARQUET
from residua.data.shards.index import Index, Shard
from residua.data.shards.remote import RemoteFolder, open_remote_tars
from residua.data.sources.table import PARTS
from residua.specs.fields import BadPolicy


def open_remote(url: str, on_bad: BadPolicy = "refuse", *, partial: bool = False) -> Dataset:
    """Open a folder that `residua pack` wrote and that was put behind an address.

    Args:
        url: of the folder: http, https, or any that fsspec knows (s3://…, gs://…) with the extra `remote`.
        on_bad: "refuse" files that are known to be missing or damaged, or "skip" all their images.
        partial: whether one class is enough: for data that a finished run is judged on.

    Raises:
        InputError: no such folder, no index by `residua pack`, a user or a query in the address; as `open_remote_tars`;
            parquet files that are larger together than what is kept of addresses; as `open_parquet`.
    """
    folder = RemoteFolder(url)
    index = folder.index()
    if not all(shard.url.endswith(PARQUET) for shard in index.shards):
        return open_remote_tars(folder, index, on_bad, partial=partial)
    return _open_parquet(folder, index, on_bad, partial=partial)


def _open_parquet(folder: RemoteFolder, index: Index, on_bad: BadPolicy, *, partial: bool) -> Dataset:
    """Fetch every file whole, by several threads, and open them: labels stand in each, and hashes are of the whole."""
    package("pyarrow", EXTRA)  # before files are fetched for nothing
    if (size := sum(shard.filesize for shard in index.shards)) > LIMIT_BYTES:
        raise InputError(
            f"{folder.location} with {size / 1e9:,.0f} GB of parquet files, which are fetched before training",
            f"at most {LIMIT_BYTES / 1e9:,.0f} GB; tar files are fetched as they are needed",
            "Pack the images as tar: residua pack DATA --out FOLDER",
        )
    readers: Readers = {
        part: {shard.url: functools.partial(_read, folder, shard) for shard in index.shards if shard.part == part}
        for part in PARTS
        if any(shard.part == part for shard in index.shards)
    }
    return assemble(folder.location, folder.location, readers, {}, on_bad, partial=partial)


def _read(folder: RemoteFolder, shard: Shard) -> ParquetFile:
    path: Path = folder.index_file(shard)
    return read_file(path, folder.shards.where(shard))
