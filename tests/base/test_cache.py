"""A cache: one builds, whole or absent, a limit, and nothing that a stranger could have written."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from residua._base import cache as caching
from residua._base import places
from residua._base.cache import Cache
from residua._base.errors import Damaged

A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "root"))
    monkeypatch.setattr(caching, "_warned", set())
    return Cache("things", 1000, without="things are made again")


def load(entry: Path) -> str:
    """Read an entry, a folder with one text, or a file with one."""
    file = entry / "text" if entry.is_dir() else entry
    try:
        text = file.read_text()
    except OSError as error:
        raise Damaged(file, str(error), absent=isinstance(error, FileNotFoundError)) from None
    if not text.startswith("whole"):
        raise Damaged(file, f"it reads {text!r}")
    return text


def whole(path: Path) -> None:
    path.write_text("whole")


def builds(text: str, made: list[str] | None = None) -> object:
    def build(folder: Path) -> None:
        if made is not None:
            made.append(text)
        (folder / "text").write_text(text)

    return build


def test_an_entry_is_built_once(cache: Cache) -> None:
    made: list[str] = []
    for _ in range(2):
        assert cache.read_or_build(A, load, builds("whole", made)) == "whole"
    assert made == ["whole"]
    assert cache.read(A, load) == "whole"
    assert cache.read(B, load) is None


def test_of_many_that_ask_at_once_one_builds(cache: Cache) -> None:
    made, answers = [], []

    def build(folder: Path) -> None:
        made.append(1)
        time.sleep(0.2)
        (folder / "text").write_text("whole")

    threads = [threading.Thread(target=lambda: answers.append(cache.read_or_build(A, load, build))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (made, answers) == ([1], ["whole"] * 8)


def test_a_damaged_entry_is_made_again_and_that_is_stated(cache: Cache) -> None:
    cache.read_or_build(A, load, builds("whole"))
    (cache.path(A) / "text").write_text("torn")
    with pytest.warns(UserWarning, match=r"text is not used: it reads 'torn'. It is made again"):
        assert cache.read_or_build(A, load, builds("whole again")) == "whole again"
    (cache.path(A) / "text").unlink()
    assert cache.read_or_build(A, load, builds("whole")) == "whole"
    cache.path(B).mkdir()
    assert cache.read_or_build(B, load, builds("whole")) == "whole"


def test_a_file_is_an_entry(cache: Cache) -> None:
    files = Cache("files", 1000, suffix=".txt")
    files.write(A, whole)
    assert files.path(A).name == f"{A}.txt"
    assert files.read(A, load) == "whole"
    files.path(A).write_text("torn")
    with pytest.warns(UserWarning, match="reads 'torn'"):
        assert files.read(A, load) is None


def test_a_builder_that_fails_leaves_nothing(cache: Cache) -> None:
    def build(folder: Path) -> None:
        (folder / "text").write_text("half")
        raise KeyError("a reason")

    with pytest.raises(KeyError):
        cache.read_or_build(A, load, build)
    assert [path.name for path in cache.root.iterdir()] == [f"{A}.lock"]


def test_the_least_recently_used_go_first_and_leftovers_always(cache: Cache) -> None:
    for number, key in enumerate((A, B)):
        cache.read_or_build(key, load, builds("whole" + "x" * 400))
        os.utime(cache.path(key), (number, number))
    assert cache.read(A, load)  # now B is the one that was used longest ago
    torn = cache.root / f".{C}.killed"
    torn.mkdir()
    (cache.root / "mine.txt").write_text("somebody's")
    cache.read_or_build(C, load, builds("whole" + "x" * 400))
    assert sorted(path.name for path in cache.root.iterdir()) == [A, f"{A}.lock", C, f"{C}.lock", "mine.txt"]


def test_an_entry_that_is_being_built_is_not_removed(cache: Cache) -> None:
    torn = cache.root / f".{A}.building"
    torn.mkdir(parents=True)
    with caching.waiting(cache.root / f"{A}.lock"):
        cache.read_or_build(B, load, builds("whole"))
        assert torn.exists()
    files = Cache("files", 10, suffix=".txt")
    half = files.path(A).with_name(f".{A}.txt.xyz.part")
    half.parent.mkdir()
    half.write_text("half")
    files.write(B, whole)
    assert half.exists()
    os.utime(half, (1, 1))
    files.write(C, whole)
    assert not half.exists()


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o702])
def test_what_every_user_may_write_is_not_used(mode: int, cache: Cache) -> None:
    cache.read_or_build(A, load, builds("whole"))
    cache.root.chmod(mode)
    with pytest.warns(UserWarning, match=r"every user may write to it.*things are made again"):
        assert cache.read(A, load) is None
    # Once: further warnings would be errors here.
    assert cache.read_or_build(A, load, builds("whole")) is None
    cache.write(A, whole)
    cache.root.chmod(0o775)
    assert cache.read(A, load) == "whole"


def test_what_belongs_to_a_different_user_is_not_used(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.read_or_build(A, load, builds("whole"))
    monkeypatch.setattr(places.os, "geteuid", lambda: os.stat(cache.root).st_uid + 1)
    if os.stat(cache.root).st_uid:
        with pytest.warns(UserWarning, match=r"belongs to a different user"):
            assert cache.read(A, load) is None
    else:
        assert cache.read(A, load) == "whole", "what root wrote is trusted"


def test_a_new_folder_is_closed_to_strangers_whatever_the_umask(cache: Cache) -> None:
    before = os.umask(0)
    try:
        assert cache.read_or_build(A, load, builds("whole")) == "whole"
    finally:
        os.umask(before)
    assert not cache.root.stat().st_mode & 0o002


def test_an_unusable_folder_is_named_once_with_the_cause(cache: Cache) -> None:
    cache.root.parent.mkdir()
    cache.root.write_text("a file")
    with pytest.warns(UserWarning, match=r"things cannot be used.*Point \$RESIDUA_CACHE"):
        assert cache.read_or_build(A, load, builds("whole")) is None
    cache.write(A, whole)
