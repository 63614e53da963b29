"""Phrases that many messages share."""

from __future__ import annotations

from residua._base.words import agree, counted, some


def test_a_count_and_its_words_agree() -> None:
    assert [counted(count, "file") for count in (0, 1, 2, 1200)] == ["0 files", "1 file", "2 files", "1,200 files"]
    assert [counted(count, "class", "classes") for count in (1, 2)] == ["1 class", "2 classes"]
    assert [agree(count, "was", "were") for count in (0, 1, 2)] == ["were", "was", "were"]


def test_some_names_stand_for_all() -> None:
    assert some("ab") == "a, b"
    assert some("abcd", 2, separator="; ") == "a; b and 2 more"
    assert some([]) == ""
