"""A damaged decode cache gives the same pixels, or is made again: never other pixels, never an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.fuzz.decode_cache import Victims, attack
from residua._base import cache as caching


def test_damage_never_changes_what_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(caching, "_warned", set())
    assert list(attack(Victims(tmp_path), 60, seed=1)) == []


def test_an_entry_under_another_key_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file of the other entry is sound by its own checksum: the key in its index gives it away."""
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(caching, "_warned", set())
    victims = Victims(tmp_path)
    entries = [path for path in victims.restore() if path.is_dir() and (path / "pixels").exists()]
    assert len(entries) == 4
    names = [path.name for path in entries]
    for path, name in zip(entries, names, strict=True):
        path.rename(path.with_name(f"moved-{name}"))
    for path, name in zip(entries, [*names[1:], names[0]], strict=True):
        path.with_name(f"moved-{path.name}").rename(path.with_name(name))
    with pytest.warns(UserWarning, match="is not used: it is another entry's. It is made again") as warned:
        assert victims.differences() == []
    assert len({str(each.message) for each in warned}) == 4
