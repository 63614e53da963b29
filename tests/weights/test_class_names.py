"""Class names from a user's text file."""

from __future__ import annotations

from pathlib import Path

from residua.weights.class_names import class_names


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cat\ndog\n", encoding="utf-8-sig")
    assert class_names(tmp_path / "names.txt", 2, "")[0] == ("cat", "dog")
