"""The library of kernels: kept where nobody else writes, loaded only where its structures are ours."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

from residua.runtime.native import keeping, library, reason, structures
from residua.runtime.native.keeping import cache_folder, is_ours, trusted_folder

needs_kernels = pytest.mark.skipif(bool(reason()), reason=reason() or "there are kernels")


@pytest.fixture(autouse=True)
def _caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(keeping, "home_cache", lambda: tmp_path / "home")


def test_the_folder_is_private(tmp_path: Path) -> None:
    assert trusted_folder() == cache_folder() == tmp_path / "cache/native"
    assert cache_folder().stat().st_mode & 0o077 == 0
    cache_folder().chmod(0o777)
    assert trusted_folder() == cache_folder(), "a folder of this user's is taken back from others"
    assert cache_folder().stat().st_mode & 0o022 == 0


@pytest.mark.parametrize("fault", ["a parent that all may write to", "a stranger's", "modes unknown", "no folder"])
def test_a_folder_of_others_is_passed_over(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache").mkdir()
    if fault == "a parent that all may write to":
        (tmp_path / "cache").chmod(0o777)
    elif fault == "no folder":
        (tmp_path / "cache/native").write_text("a file")
    else:
        (tmp_path / "cache/native").mkdir(mode=0o777)
        (tmp_path / "cache/native").chmod(0o777 if fault == "modes unknown" else 0o700)
        monkeypatch.setattr(keeping, "keep_to_ourselves", lambda path: None)
        if fault == "a stranger's":
            if os.geteuid():
                pytest.skip("only root gives files away")
            os.chown(tmp_path / "cache/native", 1234, -1)
    with pytest.warns(UserWarning, match=r"Built code is kept in .*home/native, since"):
        assert trusted_folder() == tmp_path / "home/native"


def test_where_no_cache_can_be_trusted_one_process_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_distrust", lambda folder: f"others may write to {folder}")
    with pytest.warns(UserWarning, match="residua-native-"):
        found = trusted_folder()
    assert found.stat().st_mode & 0o077 == 0
    assert tmp_path not in found.parents or found.name.startswith("residua-native-")


def test_a_library_that_others_may_write_is_not_ours(tmp_path: Path) -> None:
    place = tmp_path / "kernels.so"
    assert not is_ours(place)
    place.write_bytes(b"")
    for mode, ours in ((0o755, True), (0o700, True), (0o775, False), (0o757, False)):
        place.chmod(mode)
        assert is_ours(place) is ours
    place.rename(tmp_path / "elsewhere.so")
    place.symlink_to(tmp_path / "elsewhere.so")
    assert not is_ours(place)


@needs_kernels
def test_a_planted_library_is_built_again_instead_of_loaded(tmp_path: Path) -> None:
    code = "from residua.runtime.native import reason\nprint(repr(reason()))"
    environment = {**os.environ, "RESIDUA_CACHE": str(tmp_path / "cache")}
    run = [sys.executable, "-c", code]
    subprocess.run(run, env=environment, check=True, capture_output=True)
    (built,) = cache_folder().iterdir()
    built.write_bytes(b"planted")
    built.chmod(0o777)
    done = subprocess.run(run, env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "''"
    assert is_ours(built)
    assert built.read_bytes().startswith(b"\x7fELF")


@needs_kernels
@pytest.mark.parametrize("fault", ["a flipped bit", "cut in half"])
def test_a_damaged_library_is_built_again_and_said(fault: str) -> None:
    library._built()
    (built,) = cache_folder().iterdir()
    whole = built.read_bytes()
    flipped = whole[:5000] + bytes([whole[5000] ^ 4]) + whole[5001:]
    damaged = {"a flipped bit": flipped, "cut in half": whole[: len(whole) // 2]}
    built.write_bytes(damaged[fault])
    with pytest.warns(UserWarning, match=r"\.so is damaged: the kernels are built again"):
        assert library._built() == built
    assert library._is_whole(built)


@needs_kernels
def test_structures_of_different_sizes_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Layer(structures.Layer):
        _fields_ = (("more", ctypes.c_void_p),)

    assert not isinstance(library.load(), library.Unavailable)
    monkeypatch.setattr(structures, "Layer", Layer)
    size = ctypes.sizeof(Layer)
    found = library.load.__wrapped__()
    assert isinstance(found, library.Unavailable)
    assert str(found) == f"the kernels and their caller disagree: Layer of {size - 8} bytes, not {size}"


@needs_kernels
def test_a_folder_named_as_the_library_keeps_nothing_away() -> None:
    first = library._built()
    first.unlink()
    first.mkdir()
    second = library._built()
    assert second.is_file()
    assert second.name == f"{first.stem}-1.so"
    assert library._built() == second
