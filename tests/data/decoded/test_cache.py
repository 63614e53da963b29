"""The decode cache: right, reused, rebuilt when files change, shared between runs, and no obstacle when it fails."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from data.pictures import MakeFolder, picture
from residua._base import cache as caching
from residua._base.words import counted
from residua.data import file_identity, image_source
from residua.data.decode import BadImage, decode
from residua.data.decoded import cache
from residua.data.decoded.entry import DecodedImages, Index
from residua.data.image_source import FileImages
from residua.data.preprocess.resize import apply_uint8
from residua.specs.preprocess import PreprocessSpec

SPEC = PreprocessSpec(16, 20)


@pytest.fixture
def files(make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(caching, "_warned", set())
    return sorted(make_folder("photos", {"a": 40, "b": 40}).rglob("*.jpg"))


def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(cache, "decode_bytes", never)
    monkeypatch.setattr(image_source, "decode_bytes", never)


def test_fixed_equals_decoding_one_by_one(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first = cache.fixed(FileImages(files), SPEC, 3)
    expected = np.stack([apply_uint8(decode(file), SPEC) for file in files])
    assert np.array_equal(first.array(1), expected)
    assert first.bad == {}
    no_decoding(monkeypatch)
    again = cache.fixed(FileImages(files), SPEC, 3)
    assert np.array_equal(again.array(1), expected)
    assert isinstance(again.stored, np.memmap)


def test_ragged_equals_decoding_one_by_one(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for number, file in enumerate(files[:20]):
        picture(number, 10 + number, 40 - number).save(file)
    cache.ragged(FileImages(files), 3)
    expected = [decode(file) for file in files]
    no_decoding(monkeypatch)
    again = cache.ragged(FileImages(files), 3)
    for index, image in enumerate(expected):
        assert np.array_equal(again.image(index), image)
    assert again.array(2) is None
    uniform = sorted(files[20:])
    monkeypatch.undo()
    assert cache.ragged(FileImages(uniform), 2).array(2).shape == (60, 24, 32, 3)


def test_the_mapped_file_cannot_be_written_to(files: list[Path]) -> None:
    cache.fixed(FileImages(files), SPEC, 1).array(1)[0] = 7
    assert not (cache.fixed(FileImages(files), SPEC, 1).array(1)[0] == 7).all()


def test_a_changed_file_is_decoded_again(files: list[Path]) -> None:
    before = cache.fixed(FileImages(files), SPEC, 1).array(1).copy()
    status = files[3].stat()
    picture(999).save(files[3])
    os.utime(files[3], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    after = cache.fixed(FileImages(files), SPEC, 1).array(1)
    assert (before[3] != after[3]).any()
    assert np.array_equal(np.delete(before, 3, 0), np.delete(after, 3, 0))


def test_another_target_is_another_entry(files: list[Path]) -> None:
    assert cache.fixed(FileImages(files), SPEC, 1).array(1).shape[1] == 16
    assert cache.fixed(FileImages(files), PreprocessSpec(24, 24), 1).array(1).shape[1] == 24
    bicubic = cache.fixed(FileImages(files), PreprocessSpec(16, 20, "bicubic"), 1).array(1)
    assert (bicubic != cache.fixed(FileImages(files), SPEC, 1).array(1)).any()


def test_bad_files_are_recorded(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    files[2].write_bytes(b"")
    files[5].write_bytes(files[6].read_bytes()[:200])
    for decoded in (cache.fixed(FileImages(files), SPEC, 2), cache.ragged(FileImages(files), 2)):
        assert sorted(decoded.bad) == [2, 5]
        assert "empty" in decoded.bad[2]
    assert cache.ragged(FileImages(files), 2).array(2).shape == (78, 24, 32, 3)
    no_decoding(monkeypatch)
    assert sorted(cache.fixed(FileImages(files), SPEC, 2).bad) == [2, 5]


@pytest.mark.parametrize("damage", ["short", "empty", "gone", "index", "index empty", "other shape", "folder"])
def test_a_damaged_entry_is_built_again_and_the_reason_is_stated(files: list[Path], damage: str) -> None:
    expected = cache.fixed(FileImages(files), SPEC, 1).array(1).copy()
    (pixels,) = cache.decode_cache().root.rglob("pixels")
    index, size = pixels.with_name("index"), pixels.stat().st_size
    if damage in ("short", "empty"):
        os.truncate(pixels, size - 1000 if damage == "short" else 0)
    elif damage == "gone":
        pixels.unlink()
    elif damage == "other shape":
        Index.empty(3).write(index, index.parent.name)
    elif damage == "folder":
        pixels.unlink()
        pixels.mkdir()
    else:
        index.write_bytes(index.read_bytes()[:-1] + b"?" if damage == "index" else b"")
    with pytest.warns(UserWarning, match="is not used: .*made again"):
        assert np.array_equal(cache.fixed(FileImages(files), SPEC, 1).array(1), expected)
    assert np.array_equal(cache.fixed(FileImages(files), SPEC, 1).array(1), expected)


@pytest.mark.parametrize("kind", ["fixed", "ragged"])
@pytest.mark.parametrize("damage", ["bit", "half"])
def test_damaged_pixels_are_decoded_again_and_stated(files: list[Path], kind: str, damage: str) -> None:
    def opened() -> DecodedImages:
        images = FileImages(files)
        return cache.fixed(images, SPEC, 2) if kind == "fixed" else cache.ragged(images, 2)

    expected = [opened().image(place).copy() for place in range(80)]
    (path,) = cache.decode_cache().root.rglob("pixels")
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[len(content) // 3] ^= 4
    else:
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    count = 1 if damage == "bit" else 40
    found = opened()
    with pytest.warns(UserWarning, match=f"damaged pixels of {counted(count, 'image')} ") as warned:
        assert all(np.array_equal(found.image(place), image) for place, image in enumerate(expected))
    assert len(warned) == 1
    # The next run starts from a new entry.
    assert all(np.array_equal(opened().image(place), image) for place, image in enumerate(expected))


def test_damaged_pixels_of_an_image_that_changed_meanwhile_stop(files: list[Path]) -> None:
    cache.fixed(FileImages(files), SPEC, 2)
    (path,) = cache.decode_cache().root.rglob("pixels")
    path.write_bytes(bytes(path.stat().st_size))
    found = cache.fixed(FileImages(files), SPEC, 2)
    files[9].write_bytes(b"")
    with pytest.raises(BadImage, match="empty"):
        found.check(2)


def replaced(file: Path, content: bytes, how: str) -> None:
    """Give a file other content of the same size, and the times that it had."""
    status = file.stat()
    assert len(content) == status.st_size
    if how == "in place":
        file.write_bytes(content)
    else:
        file.with_name("new").write_bytes(content)
        os.replace(file.with_name("new"), file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_mtime_ns == status.st_mtime_ns


@pytest.mark.parametrize("how", ["in place", "renamed"])
@pytest.mark.parametrize("trusted", [True, False])
def test_a_file_with_the_size_and_time_of_another_is_decoded_again(
    make_folder: MakeFolder, tmp_path: Path, how: str, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    files = sorted(make_folder("same", {"a": 2}, suffix=".bmp").rglob("*.bmp"))
    if not trusted:
        # As on FAT: the time of change stays; only the content shows what happened.
        monkeypatch.setattr(file_identity, "_keeps_change_time", lambda path: False)
        known = SimpleNamespace(path=os.path, stat=lambda path: without_change_time(os.stat(path)))
        monkeypatch.setattr(file_identity, "os", known)
    first, second = (file.read_bytes() for file in files)
    before = cache.fixed(FileImages(files), SPEC, 1).array(1).copy()
    replaced(files[0], second, how)
    replaced(files[1], first, how)
    assert np.array_equal(cache.fixed(FileImages(files), SPEC, 1).array(1), before[::-1])


def without_change_time(status: os.stat_result) -> SimpleNamespace:
    return SimpleNamespace(
        st_dev=status.st_dev, st_ino=7, st_size=status.st_size, st_mtime_ns=status.st_mtime_ns, st_ctime_ns=0
    )


def test_without_the_cache_every_file_is_read_and_nothing_is_kept(files: list[Path]) -> None:
    decoded = cache.fixed(FileImages(files), SPEC, 2, use_cache=False)
    assert np.array_equal(decoded.array(1), np.stack([apply_uint8(decode(file), SPEC) for file in files]))
    assert cache.examined(FileImages(files), 2, use_cache=False) == {}
    assert not cache.decode_cache().root.exists()


def test_too_large_is_not_kept(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "BUDGET_BYTES", 80 * 16 * 16 * 3 - 1)
    assert cache.fixed(FileImages(files), SPEC, 1) is None
    monkeypatch.setattr(cache, "BUDGET_BYTES", 80 * 24 * 32 * 3 - 1)
    with pytest.raises(cache.AboveBudget):
        cache.ragged(FileImages(files), 1)
    assert list(cache.decode_cache().root.rglob("pixels")) == []
    no_decoding(monkeypatch)
    with pytest.raises(cache.AboveBudget):
        cache.ragged(FileImages(files), 1)


def test_a_full_disk_is_survived(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.warns(UserWarning, match="the disk is full"):
        decoded = cache.fixed(FileImages(files), SPEC, 2)
    assert np.array_equal(decoded.array(1), np.stack([apply_uint8(decode(file), SPEC) for file in files]))
    assert [each for each in cache.decode_cache().root.iterdir() if each.is_dir()] == []


def test_a_system_that_cannot_reserve_space_is_served(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    decoded = cache.fixed(FileImages(files), SPEC, 2)
    assert isinstance(decoded.stored, np.memmap)
    assert np.array_equal(decoded.array(1), np.stack([apply_uint8(decode(file), SPEC) for file in files]))


def test_what_a_killed_builder_left_is_removed(files: list[Path]) -> None:
    cache.fixed(FileImages(files), SPEC, 1)
    (entry,) = (each for each in cache.decode_cache().root.iterdir() if each.is_dir())
    for name in (f".{entry.name}.torn", f".{'a' * 32}.torn"):
        (entry.parent / name).mkdir()
        (entry.parent / name / "pixels").write_bytes(b"half")
    (entry / "pixels").unlink()
    with pytest.warns(UserWarning, match="made again"):
        cache.fixed(FileImages(files), SPEC, 1)
    assert [each for each in entry.parent.iterdir() if each.is_dir()] == [entry]


def test_what_others_put_into_the_folder_stays(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT_BYTES", 0)
    for name in ("holidays", ".git"):
        (cache.decode_cache().root / name).mkdir(parents=True)
        (cache.decode_cache().root / name / "precious").write_text("mine")
    cache.fixed(FileImages(files), SPEC, 1)
    assert len(list(cache.decode_cache().root.glob("*/precious"))) == 2


def test_what_is_built_is_on_the_disk_before_it_gets_its_name(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, replace = caching.sync, os.replace
    monkeypatch.setattr(caching, "sync", lambda path: (order.append(path.name), sync(path))[1])
    monkeypatch.setattr(os, "replace", lambda *paths: (order.append("rename"), replace(*paths))[1])
    cache.fixed(FileImages(files), SPEC, 1)
    assert {"pixels", "index"} <= set(order[: -1 - order[::-1].index("rename")])


def test_the_least_recently_used_entries_go_beyond_the_limit(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [files[start : start + 20] for start in (0, 20, 40)]
    cache.fixed(FileImages(parts[0]), SPEC, 1)
    size = sum(file.stat().st_size for file in cache.decode_cache().root.rglob("*") if file.is_file())
    monkeypatch.setattr(cache, "LIMIT_BYTES", int(2.5 * size))
    for part in parts[1:2]:
        cache.fixed(FileImages(part), SPEC, 1)
    mapped = cache.fixed(FileImages(parts[0]), SPEC, 1)
    before = mapped.array(1).copy()
    cache.fixed(FileImages(parts[2]), SPEC, 1)
    no_decoding(monkeypatch)
    cache.fixed(FileImages(parts[0]), SPEC, 1)
    cache.fixed(FileImages(parts[2]), SPEC, 1)
    with pytest.raises(AssertionError, match="decoded again"):
        cache.fixed(FileImages(parts[1]), SPEC, 1)
    assert np.array_equal(mapped.array(1), before)


def test_an_interrupted_build_leaves_nothing(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "decode_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.ragged(FileImages(files), 1)
    assert [each for each in cache.decode_cache().root.iterdir() if each.is_dir()] == []


CODE = """
import sys, time
from pathlib import Path
from residua.data.decoded import cache
from residua.data.image_source import FileImages
from residua.specs.preprocess import PreprocessSpec
decode_bytes, count = cache.decode_bytes, [0]
def counted(*given):
    count[0] += 1
    time.sleep(0.005)
    return decode_bytes(*given)
cache.decode_bytes = counted
files = sorted(Path(sys.argv[1]).rglob("*.jpg"))
print(count[0], int(cache.fixed(FileImages(files), PreprocessSpec(16, 20), 1).array(1).astype(int).sum()), count[0])
"""


def test_two_runs_at_once_decode_once(files: list[Path]) -> None:
    folder = files[0].parents[1]
    runs = [
        subprocess.Popen([sys.executable, "-c", CODE, str(folder)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    results = [run.communicate(timeout=60)[0].split() for run in runs]
    assert sorted(int(result[2]) for result in results) == [0, 80]
    assert results[0][1] == results[1][1]
