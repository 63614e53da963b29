"""Content digests: known after decoding, new after any change, and the files that differ have names."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from data.pictures import MakeFolder
from residua.data.dataset import Split
from residua.data.decoded import cache
from residua.data.decoded.contents import content_digests
from residua.data.loader import Loader
from residua.data.open import open_dataset
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import PreprocessSpec


@pytest.fixture
def folder(make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    return make_folder("photos", {"a": 6, "b": 6}, suffix=".bmp")


def split(folder: Path) -> Split:
    return open_dataset(folder, val_fraction=0).splits["train"]


def wanted(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.bmp"))
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.parametrize("augment", [None, AugmentSpec(crop="random_resized")])
@pytest.mark.parametrize("budget", [2 << 30, 0])
def test_digests_are_known_once_a_loader_was_opened(
    folder: Path, augment: AugmentSpec | None, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "BUDGET_BYTES", budget)
    part = split(folder)
    Loader(part, PreprocessSpec(16, 16), batch_size=4, num_classes=2, train=True, augment=augment)
    monkeypatch.setattr(cache, "_hashed", lambda *_: pytest.fail("a file was read again"))
    assert content_digests(part, folder) == wanted(folder)


def test_digests_without_a_loader_and_without_a_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert content_digests(split(folder), folder, workers=1) == wanted(folder)
    monkeypatch.setenv("RESIDUA_CACHE", "/proc/nowhere")
    with pytest.warns(UserWarning, match="cannot be used"):
        assert content_digests(split(folder), folder) == wanted(folder)


def test_files_that_were_exchanged_or_edited_have_other_digests(folder: Path) -> None:
    before = content_digests(split(folder), folder)
    one, other = folder / "a/000.bmp", folder / "b/003.bmp"
    times = [(file.stat().st_atime_ns, file.stat().st_mtime_ns) for file in (one, other)]
    os.replace(one, folder / "kept")
    os.replace(other, one)
    os.replace(folder / "kept", other)
    edited = folder / "a/002.bmp"
    content = bytearray(edited.read_bytes())
    content[-1] ^= 1
    edited.write_bytes(content)
    for file, when in zip((one, other), times, strict=True):
        os.utime(file, ns=when)
    after = content_digests(split(folder), folder)
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] != after[name]] == ["a/000.bmp", "a/002.bmp", "b/003.bmp"]


def test_a_moved_folder_keeps_its_names_and_digests(folder: Path) -> None:
    before = content_digests(split(folder), folder)
    folder.rename(folder.with_name("pictures"))
    moved = folder.with_name("pictures")
    assert content_digests(split(moved), moved) == before


def test_a_file_that_cannot_be_read_has_no_digest(folder: Path) -> None:
    part = split(folder)
    (folder / "a/001.bmp").unlink()
    assert [name for name, digest in content_digests(part, folder).items() if not digest] == ["a/001.bmp"]


def test_arrays_have_none() -> None:
    assert content_digests(open_dataset("digits").splits["train"]) == {}
