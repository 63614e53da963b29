"""The CIFAR archives: both forms read alike, and a hostile or damaged one is refused."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from residua._base.errors import InputError
from residua._base.web.download import RemoteFile
from residua.data.open import open_dataset
from residua.data.sources.cifar import LAYOUTS, open_cifar
from residua.data.sources.cifar_archive import Layout, read_archive

NAMES = {"cifar10": tuple(f"kind{i}" for i in range(10)), "cifar100": tuple(f"kind{i:02d}" for i in range(100))}


def drawn(name: str, part: str, count: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (count,) and planes (count, 3072) of a made-up part, the same for both forms."""
    generator = np.random.default_rng([len(name), len(part), ord(part[-1])])
    planes = generator.integers(0, 256, (count, 3072), dtype=np.uint8)
    return generator.integers(0, len(NAMES[name]), count), planes


def members(name: str, layout: Layout) -> dict[str, bytes]:
    """Return the contents of an archive of this layout, with 20 images a member."""
    contents = {}
    for paths in layout.parts.values():
        for path in paths:
            labels, planes = drawn(name, path.rsplit("/", 1)[1].removesuffix(".bin"))
            if layout.pickled:
                # The official pickles were written by Python 2: byte strings, protocol 2.
                record = {b"data": planes, layout.labels[0].encode(): labels.tolist(), b"batch_label": b"x"}
                contents[path] = pickle.dumps(record, protocol=2)
            else:
                leading = [np.full((20, 1), 9, np.uint8)] * (layout.label_bytes - 1)
                contents[path] = np.hstack([*leading, labels[:, None].astype(np.uint8), planes]).tobytes()
    if layout.pickled:
        names = {layout.labels[1].encode(): [each.encode() for each in NAMES[name]]}
        contents[layout.names] = pickle.dumps(names, protocol=2)
    else:
        contents[layout.names] = ("\n".join(NAMES[name]) + "\n\n").encode()
    return contents


def pack(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("form", [0, 1])
def test_both_forms_read_alike(name: str, form: int, tmp_path: Path) -> None:
    layout = LAYOUTS[name][form]
    classes, splits = read_archive(pack(tmp_path / "a.tar.gz", members(name, layout)), layout)
    assert classes == NAMES[name]
    assert len(splits["test"]) == 20
    assert len(splits["train"]) == (100 if name == "cifar10" else 20)
    last = "data_batch_5" if name == "cifar10" else "train"
    labels, planes = drawn(name, last)
    assert np.array_equal(splits["train"].labels[-20:], labels)
    # Red, green and blue planes of the last image, in reading order (the format's description, Krizhevsky 2009).
    for channel in range(3):
        plane = planes[-1, channel * 1024 : (channel + 1) * 1024].reshape(32, 32)
        assert np.array_equal(splits["train"].images.pixels[-1, :, :, channel], plane)


def test_the_official_archives_are_pinned() -> None:
    for layouts in LAYOUTS.values():
        assert len({layout.archive.digest for layout in layouts}) == 2
        for layout in layouts:
            assert len(bytes.fromhex(layout.archive.digest)) == 32
            assert layout.archive.size > 160_000_000


@pytest.fixture
def unofficial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a small archive that counts as the official one."""
    layout = LAYOUTS["cifar10"][1]
    path = pack(tmp_path / layout.archive.file_name, members("cifar10", layout))
    content = path.read_bytes()
    archive = dataclasses.replace(layout.archive, digest=hashlib.sha256(content).hexdigest(), size=len(content))
    nowhere = dataclasses.replace(layout.archive, url="http://127.0.0.1:9/none.tar.gz", size=9)
    first = dataclasses.replace(LAYOUTS["cifar10"][0], archive=nowhere)
    monkeypatch.setitem(LAYOUTS, "cifar10", (first, dataclasses.replace(layout, archive=archive)))
    return tmp_path


def test_an_archive_in_the_data_folder_is_opened(unofficial: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = open_dataset("cifar10", data_dir=unofficial)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 90, "val": 10, "test": 20}
    assert "SHA-256 verified" in dataset.notes[0]
    monkeypatch.setenv("RESIDUA_DATA", str(unofficial))
    assert open_dataset("cifar10").hash == dataset.hash


def test_an_archive_with_another_hash_is_refused(unofficial: Path) -> None:
    path = unofficial / "cifar-10-python.tar.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="SHA-256"):
        open_dataset("cifar10", data_dir=unofficial)
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match="bytes"):
        open_dataset("cifar10", data_dir=unofficial)


def test_without_archive_and_network_it_names_the_place_for_it(
    unofficial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RESIDUA_OFFLINE")
    with pytest.raises(InputError, match=r"could not be downloaded.*data_dir"):
        open_cifar("cifar10", tmp_path / "empty", lambda held, total: None)


def test_the_progress_bar_ends_when_the_download_is_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[bool] = []
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("rich.progress.Progress.stop", lambda bar: stopped.append(True))
    monkeypatch.setattr("rich.progress.Progress.start", lambda bar: None)

    def broken_off(archive: RemoteFile, folder: Path, progress: Any) -> None:
        progress(1, 2)
        raise KeyboardInterrupt

    monkeypatch.setattr("residua.data.sources.cifar.fetch", broken_off)
    with pytest.raises(KeyboardInterrupt):
        open_cifar("cifar10", tmp_path)
    assert stopped


@pytest.mark.parametrize("form", [0, 1])
def test_damaged_archives_are_refused(form: int, tmp_path: Path) -> None:
    layout = LAYOUTS["cifar10"][form]
    contents = members("cifar10", layout)
    with pytest.raises(InputError, match="it lacks"):
        read_archive(pack(tmp_path / "a.tar.gz", dict(list(contents.items())[1:])), layout)
    first = layout.parts["train"][0]
    wrong = {**contents, first: pickle.dumps({b"data": 1, b"labels": [1]}) if layout.pickled else b"x" * 100}
    with pytest.raises(InputError, match=r"pixels of a wrong shape|no whole number"):
        read_archive(pack(tmp_path / "b.tar.gz", wrong), layout)
    (tmp_path / "c.tar.gz").write_bytes(b"no archive")
    with pytest.raises(InputError, match=r"c\.tar\.gz"):
        read_archive(tmp_path / "c.tar.gz", layout)


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    layout = LAYOUTS["cifar10"][0]
    contents = members("cifar10", layout)
    first = layout.parts["train"][0]
    contents[first] = b"\x0a" + contents[first][1:]
    with pytest.raises(InputError, match="10 for 10 classes"):
        read_archive(pack(tmp_path / "a.tar.gz", contents), layout)


@pytest.mark.parametrize("form", [0, 1])
def test_mutated_archives_are_read_or_refused(form: int, tmp_path: Path) -> None:
    """Any damage, of the compressed bytes or of what they hold, is an InputError and nothing else."""
    layout = LAYOUTS["cifar10"][form]
    whole = pack(tmp_path / "a.tar.gz", members("cifar10", layout)).read_bytes()
    plain = gzip.decompress(whole)
    generator = np.random.default_rng(form)
    refused = 0
    for number in range(150):
        content = bytearray(plain if number % 2 else whole)
        for place in generator.integers(0, len(content), generator.integers(1, 4)):
            content[place] ^= 1 << int(generator.integers(8))
        if number % 5 == 0:
            del content[int(generator.integers(len(content))) :]
        (tmp_path / "b.tar.gz").write_bytes(gzip.compress(content, 1) if number % 2 else content)
        try:
            read_archive(tmp_path / "b.tar.gz", layout)
        except InputError:
            refused += 1
    assert refused > 20


def test_members_larger_than_the_official_ones_are_refused(tmp_path: Path) -> None:
    layout = LAYOUTS["cifar10"][0]
    contents = members("cifar10", layout)
    large = {**contents, layout.parts["test"][0]: bytes(40_000_000)}
    with pytest.raises(InputError, match=r"test_batch\.bin has 40,000,000 bytes, more than 32,000,000"):
        read_archive(pack(tmp_path / "a.tar.gz", large), layout)
    with pytest.raises(InputError, match=r"batches\.meta\.txt has 200,000 bytes"):
        read_archive(pack(tmp_path / "b.tar.gz", {**contents, layout.names: bytes(200_000)}), layout)
