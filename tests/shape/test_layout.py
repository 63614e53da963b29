"""The tree: no import circle, short files, small folders, and tests that mirror the package."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import residua
import shape

ROOT = Path(__file__).parents[2]
SOURCE = Path(residua.__file__).parent
MOST_LINES = 350
MOST_MODULES = 14
# Lists of equals: a folder whose modules a reader never needs at once.
LISTS = {"families", "specs", "cli/commands", "studies/questions", "weights/sources", "data/sources"}
LISTS |= {"evaluation/report/sections"}
# Folders of tests that belong to no folder of the package.
APART = {"laws", "peers", "faults", "shape", "tools", "reference", "articles"}
PLACES = ("src", "tests", "tools", "benchmarks", "proofs")
FILES = sorted(path.relative_to(ROOT).as_posix() for place in PLACES for path in (ROOT / place).rglob("*.py"))


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions and for types count: a circle that is hidden is one."""
    found = shape.circles(shape.imports(SOURCE))
    assert not found, "\n".join(" ↔ ".join(group) for group in found)


def test_circles_are_found(tmp_path: Path) -> None:
    package = tmp_path / "p"
    package.mkdir()
    for name, text in {
        "__init__": "",
        "a": "from p import b",
        "b": "def f():\n    from p.c import x",
        "c": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import p.a",
        "d": "import p.a, p.e",
        "e": "import os",
    }.items():
        (package / f"{name}.py").write_text(text)
    graph = shape.imports(package)
    assert shape.circles(graph) == [("p.a", "p.b", "p.c")]
    (package / "c.py").write_text("import p.e")
    graph = shape.imports(package)
    assert shape.circles(graph) == []
    assert shape.longest_chain(graph) == ["p.d", "p.a", "p.b", "p.c", "p.e"]
    assert shape.per_folder(package) == {"p": 5}


def test_nothing_below_uses_the_public_table_of_names() -> None:
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            assert "residua" not in names, f"{path} imports the package itself"


@pytest.mark.parametrize("place", FILES)
def test_file_length(place: str) -> None:
    assert len((ROOT / place).read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_folders_are_small() -> None:
    for folder, count in shape.per_folder(SOURCE).items():
        name = folder.partition("/")[2]
        if name not in LISTS:
            assert count <= MOST_MODULES, f"{folder} holds {count} modules"


def test_tests_mirror_the_package() -> None:
    tests = ROOT / "tests"
    for folder in sorted(path for path in tests.rglob("*") if path.is_dir() and path.name != "__pycache__"):
        first, *rest = folder.relative_to(tests).parts
        if first not in APART and any(folder.rglob("*.py")):
            mirrored = SOURCE.joinpath("_base" if first == "base" else first, *rest)
            assert mirrored.is_dir(), f"{folder} tests no folder of the package"


def test_tests_of_a_module_stand_in_its_folder() -> None:
    """A file of tests that has the name of a module of its package stands where that module does."""
    astray = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        first, *rest = path.parent.relative_to(ROOT / "tests").parts
        package = SOURCE / ("_base" if first == "base" else first)
        places = {module.parent for module in package.rglob(f"{path.stem.removeprefix('test_')}.py")}
        if first not in APART and places and package.joinpath(*rest) not in places:
            astray.append(path.relative_to(ROOT / "tests").as_posix())
    assert sorted(set(astray)) == [], "move them to the folder of their module"


def test_the_version_is_stated_once() -> None:
    assert residua.__version__ not in (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[tool")[0]
