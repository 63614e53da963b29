"""Files sorted by class: nothing is overwritten, and the log undoes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from residua._base.errors import InputError
from residua.inference.sorting import Sorter, undo_sort
from residua.weights.prediction import Prediction


def _answer(path: Path, label: str, sure: float = 0.9, unknown: bool | None = None) -> Prediction:
    return Prediction(str(path), (label, "other"), (sure, 1 - sure), unknown)


def _tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".jsonl"
    }


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two folders with files of the same names."""
    folder = tmp_path / "photos"
    for part in ("a", "b"):
        (folder / part).mkdir(parents=True)
        for name in ("1.jpg", "2.jpg", "3.jpg"):
            (folder / part / name).write_bytes(f"{part}{name}".encode())
    return folder


@pytest.mark.parametrize("way", ["copy", "link", "move"])
def test_files_are_sorted_and_put_back(photos: Path, tmp_path: Path, way: str) -> None:
    before = _tree(photos)
    out = tmp_path / "out"
    (out / "cat").mkdir(parents=True)
    (out / "cat" / "1.jpg").write_bytes(b"of the user")
    sorter = Sorter.open(out, way, 0.5, [photos])
    for answer in (
        _answer(photos / "a" / "1.jpg", "cat"),
        _answer(photos / "b" / "1.jpg", "cat"),
        _answer(photos / "a" / "2.jpg", "cat", sure=0.4),
        _answer(photos / "a" / "3.jpg", "cat", sure=0.4, unknown=True),
        _answer(photos / "b" / "2.jpg", "unknown"),
        _answer(photos / "b" / "3.jpg", "../up"),
    ):
        sorter.put(answer)
    sorter.close()
    assert _tree(out) == {
        "cat/1.jpg": b"of the user",
        "cat/1-2.jpg": b"a1.jpg",
        "cat/1-3.jpg": b"b1.jpg",
        "unsure/2.jpg": b"a2.jpg",
        "unknown/3.jpg": b"a3.jpg",
        "unknown-2/2.jpg": b"b2.jpg",
        "_up/3.jpg": b"b3.jpg",
    }
    assert (out / "unsure" / "2.jpg").is_symlink() == (way == "link")
    assert _tree(photos) == ({} if way == "move" else before)
    assert (sorter.count, sorter.log) == (6, out / "sorted-1.jsonl")
    assert sorter.log is not None
    # What a kill cut off does no harm.
    with sorter.log.open("a") as log:
        log.write('{"way": "mo')
    done = undo_sort(sorter.log)
    assert (done.undone, done.kept) == (6, ())
    assert _tree(photos) == before
    assert _tree(out) == {"cat/1.jpg": b"of the user"}
    assert sorted(path.name for path in out.iterdir()) == ["cat"]


def test_what_was_changed_since_stays(photos: Path, tmp_path: Path) -> None:
    sorter = Sorter.open(tmp_path / "out", "copy", None, [photos])
    first, second = (sorter.put(_answer(photos / "a" / name, "cat")) for name in ("1.jpg", "2.jpg"))
    sorter.close()
    assert sorter.log is not None
    first.write_bytes(b"edited")
    done = undo_sort(sorter.log)
    assert (done.undone, done.kept) == (1, ((str(first), "it was changed since"),))
    assert first.read_bytes() == b"edited"
    assert not second.exists()
    assert sorter.log.exists()
    shutil.copyfile(photos / "a" / "1.jpg", first)
    assert undo_sort(sorter.log).kept == ()
    assert not (tmp_path / "out").exists()


def test_a_moved_file_does_not_overwrite_a_new_one(photos: Path, tmp_path: Path) -> None:
    source = photos / "a" / "1.jpg"
    sorter = Sorter.open(tmp_path / "out", "move", None, [])
    target = sorter.put(_answer(source, "cat"))
    source.write_bytes(b"new")
    assert sorter.log is not None
    assert undo_sort(sorter.log).kept == ((str(target), f"a file stands at {source}"),)
    assert (source.read_bytes(), target.read_bytes()) == (b"new", b"a1.jpg")
    sorter.close()


def test_the_same_command_twice_copies_once(photos: Path, tmp_path: Path) -> None:
    for count, present in ((1, 0), (0, 1)):
        sorter = Sorter.open(tmp_path / "out", "copy", None, [photos])
        sorter.put(_answer(photos / "a" / "1.jpg", "cat"))
        sorter.close()
        assert (sorter.count, sorter.present) == (count, present)
    assert sorted(_tree(tmp_path / "out")) == ["cat/1.jpg"]


def test_folders_and_logs_that_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="which stands in"):
        Sorter.open(photos / "a" / "sorted", "copy", None, [photos])
    with pytest.raises(InputError, match="which is a file"):
        Sorter.open(photos / "a" / "1.jpg", "copy", None, [])
    for content in (b"no log\n", json.dumps({"way": "move"}).encode() + b"\n"):
        (tmp_path / "log").write_bytes(content)
        with pytest.raises(InputError, match="no log of a sort"):
            undo_sort(tmp_path / "log")
    with pytest.raises(InputError, match="No such file"):
        undo_sort(tmp_path / "nowhere")
