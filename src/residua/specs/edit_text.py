"""Edits of a network as words of a command line: FIELD=VALUE."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from residua._base.errors import InputError
from residua._base.words import quoted
from residua.specs.fields import field_types, parsed, written
from residua.specs.schema import Spec

_NONE = {"num_classes": 0}  # Python takes None for it, as TF-slim does: no classifier


def read_edits(spec: Spec, words: Sequence[str]) -> dict[str, Any]:
    """Return the edits of `spec` that words such as "shortcut=none" and "depths=3,4,6,3" state.

    A list has commas between its entries, and brackets around the lists inside it: "kernels=[3,1],[3,3]".

    Raises:
        InputError: a word without "="; a field stated twice; one that the spec does not have (its fields are named); a
            value that the field does not take (its legal values are named).
    """
    kind: Any = type(spec)
    types = field_types(kind)
    edits: dict[str, Any] = {}
    for word in words:
        match = re.fullmatch(r"([A-Za-z_]\w*)=(.*)", word.strip(), re.DOTALL)
        if not match:
            raise InputError(f"the edit {quoted(word)}", "FIELD=VALUE", "For example shortcut=none")
        key, text = match[1], match[2]
        if key in edits:
            raise InputError(f"{key} edited twice", "one value for each field", "Leave one of them out")
        if text.strip().lower() == "none" and key in _NONE:
            edits[key] = _NONE[key]
        elif key in types:
            own = written(getattr(spec, key))
            remedy = f"As it is, {spec.name} has {key}={own}" if len(own) < 200 else ""
            edits[key] = parsed(key, text, types[key], remedy)
        else:
            edits[key] = text
    spec.edit(**edits)
    return edits


def edit_words(edits: Mapping[str, Any]) -> list[str]:
    """Return edits as the words that `read_edits` reads."""
    return [f"{key}={written(value)}" for key, value in edits.items()]
