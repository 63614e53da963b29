"""Docstrings that state what the fields of a spec take: taken from the annotations, so that the two cannot differ."""

from __future__ import annotations

import re
import types
from collections.abc import Hashable, Iterator
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin

from residua.specs.fields import Span, field_rules

T = TypeVar("T")


def with_ranges(kind: type[T]) -> type[T]:
    """Add to the docstring of a dataclass, behind the entry of each field, the numbers that the field takes.

    The entries are those of its section `Attributes:`. Without docstrings (python -OO) nothing is added.
    """
    rules: dict[str, Any] = field_rules(cast(Hashable, kind))
    for key, wanted in rules.items():
        if kind.__doc__ and (text := legal(wanted)):
            kind.__doc__ = _extended(kind.__doc__, key, text)
    return kind


def _extended(doc: str, key: str, text: str) -> str:
    entry = re.compile(rf"^( +){key}: .+(?:\n\1    .+)*", re.MULTILINE)
    return entry.sub(lambda match: f"{match[0]}\n{match[1]}    {text}", doc, 1)


def legal(wanted: Any) -> str:
    """Return what an annotation's rules allow: "Legal: 1 to 4,096."; "" where there is no rule for numbers."""
    ranges = dict.fromkeys(_ranges(wanted))
    return f"Legal: {'; '.join(ranges)}." if ranges else ""


def _ranges(wanted: Any, each: str = "") -> Iterator[str]:
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        inner = "each " if get_origin(arguments[0]) is tuple else each
        yield from _ranges(arguments[0], each)
        yield from (inner + rule.words for rule in arguments[1:] if isinstance(rule, Span))
    elif origin is tuple:
        yield from (text for argument in arguments for text in _ranges(argument, "each "))
    elif origin in (types.UnionType, Union):
        yield from (text for argument in arguments for text in _ranges(argument, each))
