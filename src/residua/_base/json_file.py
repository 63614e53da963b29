"""Read back the JSON files that Residua itself wrote, any of which may have been damaged since.

`read_json`, `read_json_lines` and `parse_json` either return a value of the kind asked for, or raise `Damaged`.
"""

from __future__ import annotations

import functools
import json
import math
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NotRequired, Required, TypeVar, Union

from residua._base.errors import Damaged
from residua._base.files import read_regular

LARGEST_BYTES = 64 << 20  # far beyond any document that we write
_DEEPEST = 64  # of lists in lists; our own documents have fewer than ten
_MOST_DIGITS = 20  # 2**64 has so many: a longer number is no measurement of ours, and may be no float
_CONTAINERS = (dict, list)
T = TypeVar("T")


def read_json(path: Path, kind: type[T], *, most: int = LARGEST_BYTES) -> T:
    """Return the document in a file, checked against `kind`.

    Args:
        path: a UTF-8 file, with or without a byte-order mark.
        kind: what the document must be: a TypedDict, `dict[str, int]`, `list[str]`, or `dict`. Keys that a TypedDict
            does not name are kept: a later version may have added them.
        most: the largest size that is read, bytes.

    Raises:
        Damaged: the file is absent (`error.absent`), unreadable, too large, no JSON, or of a different kind.
    """
    return parse_json(read_regular(path, most), kind, path)


def read_json_lines(path: Path, kind: type[T], *, most: int = LARGEST_BYTES) -> list[T]:
    """Return the documents of a file with one per line.

    A last line that is no JSON is left out: a process was killed while it appended that line.

    Raises:
        Damaged: as `read_json`; the reason names the line.
    """
    # Not splitlines(): it also splits at characters that JSON may hold unescaped, such as U+2028.
    lines = _text(read_regular(path, most), path).split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            document = _document(line, path)
        except Damaged as error:
            if number == len(lines):
                break
            raise Damaged(path, f"line {number}: {error.reason}") from None
        if problem := mismatch(document, kind):
            raise Damaged(path, f"line {number}: {problem}")
        rows.append(document)
    return rows


def parse_json(content: bytes | str, kind: type[T], path: Path) -> T:
    """Return the document that `content` holds, checked against `kind`; `path` is named in the error.

    Raises:
        Damaged: it is no JSON, or of a different kind.
    """
    document = _document(_text(content, path) if isinstance(content, bytes) else content, path)
    if problem := mismatch(document, kind):
        raise Damaged(path, problem)
    return typing.cast(T, document)


def mismatch(value: Any, kind: Any, where: str = "") -> str:
    """Return how `value` differs from `kind`, "" if it does not.

    A `float` may be written as a whole number. True and False are no numbers.
    """
    if kind is Any:
        return ""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Required, NotRequired):
        return mismatch(value, arguments[0], where)
    if origin in (Union, types.UnionType):
        problems = [mismatch(value, each, where) for each in arguments]
        # Of `Record | None` the reason that names the key which the record lacks.
        return "" if "" in problems else next((each for each in problems if each != _wrong(where, value)), problems[0])
    if origin is Literal:
        return "" if any(type(value) is type(each) and value == each for each in arguments) else _wrong(where, value)
    if typing.is_typeddict(kind):
        return _fields(value, kind, where)
    if origin in _CONTAINERS:
        if not isinstance(value, origin):
            return _wrong(where, value)
        inside = _named(value, where) if origin is dict else ((f"{where}[{i}]", item) for i, item in enumerate(value))
        return next(filter(None, (mismatch(item, arguments[-1], name) for name, item in inside)), "")
    if kind is float:
        return "" if type(value) in (int, float) else _wrong(where, value)
    wanted = type(None) if kind is None else kind
    return "" if type(value) is wanted else _wrong(where, value)


def _fields(value: Any, kind: Any, where: str) -> str:
    if not isinstance(value, dict):
        return _wrong(where, value)
    hints = _hints(kind)
    for key, hint in hints.items():
        if key not in value and typing.get_origin(hint) is not NotRequired:
            return f"it lacks `{where}.{key}`" if where else f"it lacks `{key}`"
    inside = ((key, name, item) for key, (name, item) in zip(value, _named(value, where), strict=True))
    return next(filter(None, (mismatch(item, hints.get(key, Any), name) for key, name, item in inside)), "")


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    # Not __required_keys__: that set is wrong where annotations are strings (Python 3.11).
    return typing.get_type_hints(kind, include_extras=True)


def _named(value: dict[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    return ((f"{where}.{key}" if where else key, item) for key, item in value.items())


def _wrong(where: str, value: Any) -> str:
    shown = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else json.dumps(value)
    shown = shown if len(shown) <= 40 else f"{shown[:39]}…"
    return f"it holds {shown} as `{where}`" if where else f"it holds {shown}"


def _text(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Damaged(path, f"it is not UTF-8 from byte {error.start} on") from None


def _document(text: str, path: Path) -> Any:
    try:
        document = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else f"it is no JSON ({error})"
        raise Damaged(path, reason) from None
    if _is_deep(document):
        raise Damaged(path, "it is nested too deeply")
    return document


def _whole(text: str) -> int:
    if len(text.lstrip("-")) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is no finite number")
    return value


def _is_deep(document: Any) -> bool:
    level = [document]
    for _ in range(_DEEPEST):
        level = [
            item
            for each in level
            if isinstance(each, _CONTAINERS)
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, _CONTAINERS)
        ]
        if not level:
            return False
    return True
