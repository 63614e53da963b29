"""Which folders are runs, asked in one place."""

from __future__ import annotations

from pathlib import Path

import pytest

from residua._base.run_files import is_run


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["model.safetensors"], True),
        (["checkpoints/origin.json", "notes.txt"], True),
        ([".lock"], True),
        ([".lock", "notes.txt"], False),
        (["checkpoints/images.npz"], False),
        (["photos/model.safetensors"], False),
        ([], False),
    ],
)
def test_a_run_is_known_by_its_files(tmp_path: Path, names: list[str], wanted: bool) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert is_run(tmp_path) is wanted
    assert not is_run(tmp_path / "model.safetensors")
    assert not is_run("no\0path")


def test_every_name_of_a_runs_file_stands_once() -> None:
    """In `run_files`; a README of the Hub and timm's config.json of other people share two of the names."""
    source = Path(__file__).parents[2] / "src" / "residua"
    quoted = [
        f'"{name}"' for name in ("model.safetensors", "recipe.toml", "history.jsonl", "report.html", "report.json")
    ]
    quoted.append('"checkpoints"')
    for path in source.rglob("*.py"):
        if path.name != "run_files.py":
            assert not [name for name in quoted if name in path.read_text(encoding="utf-8")], path
