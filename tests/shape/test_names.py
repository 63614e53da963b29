"""Names say what they hold: none of the package's variables is called by how it was come by."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import residua

SOURCE = Path(residua.__file__).parent
FILES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))
VAGUE = {"found", "given", "place", "stuff", "thing"}
# The parts of an error are given, wanted, remedy.
ERRORS = {("_base/errors.py", "given"), ("specs/schema.py", "given")}


def _bound(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of each variable and argument; fields of records keep the words of their files."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.ClassDef):
            for entry in node.body:
                if isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name):
                    entry.target.ctx = ast.Load()


@pytest.mark.parametrize("file", FILES)
def test_variables_are_named_after_what_they_hold(file: str) -> None:
    tree = ast.parse((SOURCE / file).read_text(encoding="utf-8"))
    vague = [f"{file}:{line} {name}" for line, name in _bound(tree) if name in VAGUE and (file, name) not in ERRORS]
    assert not vague, "\n".join(vague)


def test_vague_names_are_seen() -> None:
    source = "class A:\n    given: str\ndef f(place):\n    found = [given for given in place]\n"
    source += "    return lambda thing: found"
    assert sorted(_bound(ast.parse(source))) == [(3, "place"), (4, "found"), (4, "given"), (5, "thing")]


_PARTICIPLE = re.compile(r"(?<=[a-z])(?<!Se)(?<!Ne)(ed|tten|zen)$")
# Exceptions state what happened, as Python's own do. Their bases end in these words.
_EXCEPTIONS = ("Error", "Exception", "AnswerNo")


def _participles(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of each class that is called by what was done to it, exceptions aside."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef) or any(ast.unparse(base).endswith(_EXCEPTIONS) for base in node.bases):
            continue
        if _PARTICIPLE.search(node.name):
            yield node.lineno, node.name


@pytest.mark.parametrize("file", FILES)
def test_classes_are_named_by_a_noun(file: str) -> None:
    tree = ast.parse((SOURCE / file).read_text(encoding="utf-8"))
    assert not list(_participles(tree)), file


def test_participles_are_seen() -> None:
    names = ("Explained", "_Mixed", "Forgotten", "Frozen", "Stopped(OSError)", "Seed", "Weighing", "ExplainedImage")
    source = "".join(f"class {name}: ...\n" for name in names)
    assert [name for _, name in _participles(ast.parse(source))] == ["Explained", "_Mixed", "Forgotten", "Frozen"]
