"""Small image folders, made on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.pictures import MakeFolder, picture


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Return a function that writes class folders: make(name, {"ants": 3}, size=(24, 32)) -> folder."""
    drawn = iter(range(1_000_000))

    def make(name: str, classes: dict[str, int], size: tuple[int, int] = (24, 32), suffix: str = ".jpg") -> Path:
        for label, count in classes.items():
            (tmp_path / name / label).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                picture(next(drawn), *size).save(tmp_path / name / label / f"{number:03d}{suffix}")
        return tmp_path / name

    return make
