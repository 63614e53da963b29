"""What every floor uses: atomic files, phrases, values as JSON holds them."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from residua._base import files
from residua._base.files import write_text
from residua._base.places import cache_root
from residua._base.plain import plain
from residua._base.words import some
from residua.runtime.native.keeping import cache_folder


def test_names_that_are_no_utf8_are_escaped(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.png")
    write_text(tmp_path / "plain.txt", f"é {name}")
    assert (tmp_path / "plain.txt").read_bytes() == "é ".encode() + b"\\udcff.png"
    write_text(tmp_path / "document.json", json.dumps([name], ensure_ascii=False))
    assert json.loads((tmp_path / "document.json").read_text(encoding="utf-8")) == [name]


def test_writing_leaves_the_umask_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(os, "umask", asked.append)
    write_text(tmp_path / "a", "a")
    assert not asked, f"set in {threading.current_thread().name}, it holds for every thread"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~files._UMASK


def test_one_root_of_all_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path))
    assert (cache_root(), cache_folder()) == (tmp_path, tmp_path / "native")
    monkeypatch.setenv("RESIDUA_CACHE", "")
    assert cache_root() == Path.home() / ".cache/residua"


def test_some() -> None:
    assert some("ab") == "a, b"
    assert some("abcd", 2, separator="; ") == "a; b and 2 more"
    assert some([]) == ""


def test_plain_values_are_json() -> None:
    given = {"a": (1, float("nan")), "b": np.array([1.5, np.inf]), 3: {Path("x")}, "n": np.int64(2), "ok": True}
    assert plain(given) == {"a": [1, None], "b": [1.5, None], "3": ["x"], "n": 2, "ok": True}
    json.dumps(plain(given), allow_nan=False)
