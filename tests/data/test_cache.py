"""The decode cache: right, reused, rebuilt when files change, shared between runs, and no obstacle when it fails."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from data.pictures import MakeFolder, picture
from residua.data import cache, image_source
from residua.data.decode import BadImage, decode
from residua.data.image_source import FileImages
from residua.data.preprocess import apply_uint8
from residua.specs.preprocess import PreprocessSpec

SPEC = PreprocessSpec(16, 20)


@pytest.fixture
def files(make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    return sorted(make_folder("photos", {"a": 40, "b": 40}).rglob("*.jpg"))


def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(image_source, "decode_bytes", never)


def test_fixed_equals_decoding_one_by_one(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    first = cache.fixed(FileImages(files), SPEC, 3)
    expected = np.stack([apply_uint8(decode(file), SPEC) for file in files])
    assert np.array_equal(first.pixels, expected)
    assert first.bad == {}
    no_decoding(monkeypatch)
    again = cache.fixed(FileImages(files), SPEC, 3)
    assert np.array_equal(again.pixels, expected)
    assert isinstance(again.pixels, np.memmap)


def test_ragged_equals_decoding_one_by_one(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for number, file in enumerate(files[:20]):
        picture(number, 10 + number, 40 - number).save(file)
    cache.ragged(FileImages(files), 3)
    expected = [decode(file) for file in files]
    no_decoding(monkeypatch)
    again = cache.ragged(FileImages(files), 3)
    for index, image in enumerate(expected):
        assert np.array_equal(again.image(index), image)
    assert again.uniform is None
    uniform = sorted(files[20:])
    monkeypatch.undo()
    assert cache.ragged(FileImages(uniform), 2).uniform.shape == (60, 24, 32, 3)


def test_the_mapped_file_cannot_be_written_to(files: list[Path]) -> None:
    cache.fixed(FileImages(files), SPEC, 1).pixels[0] = 7
    assert not (cache.fixed(FileImages(files), SPEC, 1).pixels[0] == 7).all()


def test_a_changed_file_is_decoded_again(files: list[Path]) -> None:
    before = cache.fixed(FileImages(files), SPEC, 1).pixels.copy()
    status = files[3].stat()
    picture(999).save(files[3])
    os.utime(files[3], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    after = cache.fixed(FileImages(files), SPEC, 1).pixels
    assert (before[3] != after[3]).any()
    assert np.array_equal(np.delete(before, 3, 0), np.delete(after, 3, 0))


def test_another_target_is_another_entry(files: list[Path]) -> None:
    assert cache.fixed(FileImages(files), SPEC, 1).pixels.shape[1] == 16
    assert cache.fixed(FileImages(files), PreprocessSpec(24, 24), 1).pixels.shape[1] == 24
    bicubic = cache.fixed(FileImages(files), PreprocessSpec(16, 20, "bicubic"), 1).pixels
    assert (bicubic != cache.fixed(FileImages(files), SPEC, 1).pixels).any()


def test_bad_files_are_recorded(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    files[2].write_bytes(b"")
    files[5].write_bytes(files[6].read_bytes()[:200])
    for decoded in (cache.fixed(FileImages(files), SPEC, 2), cache.ragged(FileImages(files), 2)):
        assert sorted(decoded.bad) == [2, 5]
        assert "empty" in decoded.bad[2]
    assert cache.ragged(FileImages(files), 2).uniform.shape == (78, 24, 32, 3)
    no_decoding(monkeypatch)
    assert sorted(cache.fixed(FileImages(files), SPEC, 2).bad) == [2, 5]


@pytest.mark.parametrize("damage", ["short", "gone", "json"])
def test_a_damaged_entry_is_rebuilt(files: list[Path], damage: str) -> None:
    expected = cache.fixed(FileImages(files), SPEC, 1).pixels.copy()
    (pixels,) = cache.cache_folder().rglob("pixels.npy")
    if damage == "short":
        os.truncate(pixels, pixels.stat().st_size - 1000)
    elif damage == "gone":
        pixels.unlink()
    else:
        (pixels.parent / "bad.json").write_text("{")
    assert np.array_equal(cache.fixed(FileImages(files), SPEC, 1).pixels, expected)


def test_too_large_is_not_kept(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "BUDGET_BYTES", 80 * 16 * 16 * 3 - 1)
    assert cache.fixed(FileImages(files), SPEC, 1) is None
    monkeypatch.setattr(cache, "BUDGET_BYTES", 80 * 24 * 32 * 3 - 1)
    assert cache.ragged(FileImages(files), 1) is None
    assert list(cache.cache_folder().rglob("pixels.*")) == []
    no_decoding(monkeypatch)
    assert cache.ragged(FileImages(files), 1) is None


def test_a_full_disk_is_survived(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        decoded = cache.fixed(FileImages(files), SPEC, 2)
    assert np.array_equal(decoded.pixels, np.stack([apply_uint8(decode(file), SPEC) for file in files]))
    assert [each for each in cache.cache_folder().iterdir() if each.is_dir()] == []


def test_a_system_that_cannot_reserve_space_is_served(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    assert isinstance(cache.fixed(FileImages(files), SPEC, 2).pixels, np.memmap)


def test_what_a_killed_builder_left_is_removed(files: list[Path]) -> None:
    cache.fixed(FileImages(files), SPEC, 1)
    (entry,) = (each for each in cache.cache_folder().iterdir() if each.is_dir())
    for name in (f".{entry.name}.torn", f".{'a' * 32}.torn"):
        (entry.parent / name).mkdir()
        (entry.parent / name / "pixels.npy").write_bytes(b"half")
    (entry / "pixels.npy").unlink()
    cache.fixed(FileImages(files), SPEC, 1)
    assert [each for each in entry.parent.iterdir() if each.is_dir()] == [entry]


def test_what_others_put_into_the_folder_stays(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT_BYTES", 0)
    for name in ("holidays", ".git"):
        (cache.cache_folder() / name).mkdir(parents=True)
        (cache.cache_folder() / name / "precious").write_text("mine")
    cache.fixed(FileImages(files), SPEC, 1)
    assert len(list(cache.cache_folder().glob("*/precious"))) == 2


def test_what_is_built_is_on_the_disk_before_it_gets_its_name(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, replace = cache.sync, os.replace
    monkeypatch.setattr(cache, "sync", lambda path: (order.append(path.name), sync(path))[1])
    monkeypatch.setattr(os, "replace", lambda *paths: (order.append("rename"), replace(*paths))[1])
    cache.fixed(FileImages(files), SPEC, 1)
    assert {"pixels.npy", "bad.json"} <= set(order[: order.index("rename")])


def test_the_least_recently_used_entries_go_beyond_the_limit(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [files[start : start + 20] for start in (0, 20, 40)]
    size = 20 * 16 * 16 * 3 + 1000
    monkeypatch.setattr(cache, "LIMIT_BYTES", 2 * size)
    for part in parts[:2]:
        cache.fixed(FileImages(part), SPEC, 1)
    mapped = cache.fixed(FileImages(parts[0]), SPEC, 1)
    before = mapped.pixels.copy()
    cache.fixed(FileImages(parts[2]), SPEC, 1)
    no_decoding(monkeypatch)
    cache.fixed(FileImages(parts[0]), SPEC, 1)
    cache.fixed(FileImages(parts[2]), SPEC, 1)
    with pytest.raises(AssertionError, match="decoded again"):
        cache.fixed(FileImages(parts[1]), SPEC, 1)
    assert np.array_equal(mapped.pixels, before)


def test_an_interrupted_build_leaves_nothing(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(image_source, "decode_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cache.ragged(FileImages(files), 1)
    assert [each for each in cache.cache_folder().iterdir() if each.is_dir()] == []


CODE = """
import sys, time
from pathlib import Path
from residua.data import cache, image_source
from residua.data.image_source import FileImages
from residua.specs.preprocess import PreprocessSpec
decode_bytes, count = image_source.decode_bytes, [0]
def counted(*given):
    count[0] += 1
    time.sleep(0.005)
    return decode_bytes(*given)
image_source.decode_bytes = counted
files = sorted(Path(sys.argv[1]).rglob("*.jpg"))
print(count[0], int(cache.fixed(FileImages(files), PreprocessSpec(16, 20), 1).pixels.astype(int).sum()), count[0])
"""


def test_two_runs_at_once_decode_once(files: list[Path]) -> None:
    folder = files[0].parents[1]
    runs = [
        subprocess.Popen([sys.executable, "-c", CODE, str(folder)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    results = [run.communicate(timeout=60)[0].split() for run in runs]
    assert sorted(int(result[2]) for result in results) == [0, 80]
    assert results[0][1] == results[1][1]


def test_results_come_in_order_and_a_bounded_way_ahead() -> None:
    started: list[int] = []

    def make(number: int) -> np.ndarray:
        started.append(number)
        if number == 7:
            raise BadImage("seven", "bad")
        return np.full((1, 1, 3), number, np.uint8)

    results = cache.in_order(range(100), make, 2)
    first = next(results)
    assert first[0, 0, 0] == 0
    assert len(started) <= 10
    rest = list(results)
    assert [int(each[0, 0, 0]) for each in rest if isinstance(each, np.ndarray)] == [*range(1, 7), *range(8, 100)]
    assert isinstance(rest[6], BadImage)
