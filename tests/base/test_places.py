"""Where caches stand, for users with and without a home."""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from residua._base import places
from residua._base.errors import InputError
from residua._base.places import cache_root, home_cache
from residua.runtime.native.keeping import cache_folder


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    places._home_cache.cache_clear()
    yield
    places._home_cache.cache_clear()


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user without a home and without an entry in /etc/passwd, as in a container; returns the temporary folder."""

    def missing(*_: object) -> NoReturn:
        raise KeyError("no such user")

    for name in ("HOME", "RESIDUA_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", missing)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_the_environment_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "own"))
    assert cache_root() == tmp_path / "own"
    monkeypatch.setenv("RESIDUA_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == home_cache() == tmp_path / ".cache/residua"
    assert not list(tmp_path.iterdir()), "asking makes nothing"


def test_without_a_home_a_private_temporary_folder_serves(nobody: Path) -> None:
    with pytest.warns(UserWarning, match=r"since there is no home folder. Set \$RESIDUA_CACHE to keep them"):
        found = cache_root()
    assert found == nobody / f"residua-{os.geteuid()}"
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    assert cache_root() == found  # and a second warning would be an error
    places._home_cache.cache_clear()
    with pytest.warns(UserWarning, match="no home folder"):
        assert cache_root() == found, "a second process keeps it"


@pytest.mark.parametrize("taken", ["open to all", "a link", "a file"])
def test_a_name_that_a_stranger_took_is_not_used(
    taken: str, nobody: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = nobody / f"residua-{os.geteuid()}"
    match taken:
        case "open to all":
            place.mkdir()
            place.chmod(0o777)
        case "a link":
            place.symlink_to(tmp_path_factory.mktemp("theirs", numbered=True))
        case _:
            place.write_text("")
    with pytest.warns(UserWarning, match="no home folder"):
        found = cache_root()
    assert found != place
    assert stat.S_IMODE(found.stat().st_mode) == 0o700


def test_a_home_that_cannot_be_written_to_is_none(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nobody / "file").write_text("")
    for home in (nobody / "file", Path("/proc/1/none")):
        monkeypatch.setenv("HOME", str(home))
        with pytest.warns(UserWarning, match="cannot be written to"):
            assert cache_root() == nobody / f"residua-{os.geteuid()}"


def test_without_any_folder_the_variable_is_asked_for(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(nobody / "none"))
    with pytest.raises(InputError, match="Set RESIDUA_CACHE"):
        cache_root()


def test_one_root_of_all_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path))
    assert (cache_root(), cache_folder()) == (tmp_path, tmp_path / "native")
    monkeypatch.setenv("RESIDUA_CACHE", "")
    assert cache_root() == Path.home() / ".cache/residua"
