"""JSON of strangers: bounded in bytes and depth, without NaN, without a key twice."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from residua.serving.refusal import Refusal
from residua.serving.settings import Limits

# Possessive, and a string may end with the text: each byte is read once, whatever it is.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def parse_json(text: bytes, limits: Limits) -> dict[str, Any]:
    """Return the JSON object that a request consists of.

    Raises:
        Refusal: too long, too deep, not JSON, no object, a key twice, NaN or infinity.
    """
    if len(text) > limits.json_bytes:
        raise Refusal(413, f"JSON of {len(text)} bytes; at most {limits.json_bytes} are read", "too_large")
    check_depth(text, limits.json_depth)
    try:
        document = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors.
        raise Refusal(400, f"the request is not JSON: {str(error)[:120]}") from None
    if not isinstance(document, dict):
        raise Refusal(400, f"the request is a JSON {type(document).__name__}, not an object")
    return document


def check_depth(text: bytes, limit: int) -> None:
    """Refuse JSON whose brackets are nested more than `limit` deep.

    Each pass takes the innermost pairs away, at the speed of `bytes.replace`; no parser recurses before.

    Raises:
        Refusal: too deep, or brackets that do not match.
    """
    brackets = _STRINGS.sub(b"", text).translate(None, _NO_BRACKETS)
    for _ in range(limit):
        if not brackets:
            return
        # Pairs side by side vanish together, so one pass takes exactly one level.
        brackets = re.sub(rb"\[\]|\{\}", b"", brackets)
    if brackets:
        raise Refusal(400, f"JSON whose brackets do not match, or nested more than {limit} deep")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return document
