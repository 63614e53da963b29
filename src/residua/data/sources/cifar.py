"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) from the official archives, binary or pickled, read in place."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from residua._base.console import BYTES, Progress, progress_bar
from residua._base.places import home_cache
from residua._base.web.download import RemoteFile, fetch, verify
from residua.data.dataset import Dataset, hash_of_pixels
from residua.data.sources.cifar_archive import Layout, read_archive

_HOST = "https://www.cs.toronto.edu/~kriz/"


def _archive(name: str, sha256: str, size: int) -> RemoteFile:
    remedy = "Repeat the command to continue (data_dir=… names the folder)"
    return RemoteFile(_HOST + name, sha256, size, remedy=remedy)


def _ten(folder: str, suffix: str, names: str) -> dict[str, Any]:
    train = tuple(f"{folder}/data_batch_{number}{suffix}" for number in range(1, 6))
    return {
        "parts": {"train": train, "test": (f"{folder}/test_batch{suffix}",)},
        "names": f"{folder}/{names}",
        "member_bytes": 32_000_000,
    }


def _hundred(folder: str, suffix: str, names: str) -> dict[str, Any]:
    return {
        "parts": {"train": (f"{folder}/train{suffix}",), "test": (f"{folder}/test{suffix}",)},
        "names": f"{folder}/{names}",
        "member_bytes": 160_000_000,
    }


LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "cifar10": (
        Layout(
            _archive(
                "cifar-10-binary.tar.gz",
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                170_052_171,
            ),
            **_ten("cifar-10-batches-bin", ".bin", "batches.meta.txt"),
            pickled=False,
        ),
        Layout(
            _archive(
                "cifar-10-python.tar.gz",
                "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                170_498_071,
            ),
            **_ten("cifar-10-batches-py", "", "batches.meta"),
            pickled=True,
        ),
    ),
    "cifar100": (
        Layout(
            _archive(
                "cifar-100-binary.tar.gz",
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
                168_513_733,
            ),
            **_hundred("cifar-100-binary", ".bin", "fine_label_names.txt"),
            pickled=False,
            label_bytes=2,
        ),
        Layout(
            _archive(
                "cifar-100-python.tar.gz",
                "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
                169_001_437,
            ),
            **_hundred("cifar-100-python", "", "meta"),
            pickled=True,
            labels=("fine_labels", "fine_label_names"),
        ),
    ),
}
"""The first layout of each is the one that is downloaded when none is found."""


def data_folder(folder: Path | None = None) -> Path:
    """Return `folder`, else $RESIDUA_DATA, else ~/.cache/residua/data."""
    named = os.environ.get("RESIDUA_DATA")
    return folder or (Path(named) if named else home_cache() / "data")


def open_cifar(name: str, data_dir: Path | None = None, progress: Progress | None = None) -> Dataset:
    """Open "cifar10" or "cifar100": an archive in `data_dir`, or else a download to it.

    Raises:
        InputError: the archive is not the official one, or it is neither here nor can be downloaded.
    """
    folder = data_folder(data_dir)
    layouts = LAYOUTS[name]
    layout = next((each for each in layouts if (folder / each.archive.file_name).is_file()), None)
    if layout is None:
        layout = layouts[0]
        with nullcontext(progress) if progress else progress_bar(layout.archive.file_name, BYTES) as show:
            path = fetch(layout.archive, folder, show)
    else:
        path = folder / layout.archive.file_name
        verify(path, layout.archive)
    classes, splits = read_archive(path, layout)
    notes = (f"the official {layout.archive.file_name}, SHA-256 verified",)
    return Dataset(name, classes, splits, hash_of_pixels(classes, splits), notes, location=str(folder.resolve()))
