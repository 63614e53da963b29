"""Every InputError states what was given, what was wanted, and what to do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import residua

SOURCE = Path(residua.__file__).parent


def _without_remedy(source: str) -> Iterator[int]:
    """Yield the line of each error without a third part.

    A name or a call stands for a remedy: `did_you_mean` alone may come out empty, where `wanted` lists every choice.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "InputError":
            parts = [*node.args, *(keyword.value for keyword in node.keywords)]
            empty = any(isinstance(part, ast.Constant) and part.value == "" for part in parts)
            if not any(isinstance(part, ast.Starred) for part in parts) and (len(parts) != 3 or empty):
                yield node.lineno


def test_every_error_has_a_remedy() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    texts = {path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8") for path in files}
    bare = [f"{name}:{line}" for name, text in texts.items() for line in _without_remedy(text)]
    assert not bare, "\n".join(bare)


def test_errors_without_one_are_seen() -> None:
    source = 'raise InputError("a", "b")\nraise errors.InputError("a", "b", "")\nInputError("a", "b", remedy="c")\n'
    source += 'InputError("a", wanted="b", remedy="")\nInputError(*parts)\nInputError("a", "b", did_you_mean(a, b))\n'
    assert list(_without_remedy(source)) == [1, 2, 4]
