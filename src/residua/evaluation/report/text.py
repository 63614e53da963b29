"""Numbers, names and sentences as the page prints them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from residua._base.public import public_name
from residua._base.words import some

_NAME = re.compile(r"\S*\w[./\\_]\w")


def percent(rate: float, count: int = 0) -> str:
    """Return a rate in percent with one decimal; from 10,000 images on with two, where one image is 0.01%."""
    return f"{100 * rate:.{2 if count >= 10_000 else 1}f}%"


def points(difference: float, digits: int = 1) -> str:
    """Return a difference of rates in points, signed, with so many decimals: +1.5."""
    return f"{100 * difference:+z.{digits}f}"


def number(value: float) -> str:
    """Return a number with separated thousands: 75,290."""
    return f"{value:,}"


def scaled(count: float) -> str:
    """Return a count, from a million on with three digits: 75,290; 4.09 billion."""
    for size, word in ((1e9, " billion"), (1e6, " million")):
        if count >= size * 0.9995:
            return f"{count / size:.3g}{word}"
    return f"{count:,.0f}"


def duration(seconds: float) -> str:
    """Return seconds in the unit that suits them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def sentence(text: str) -> str:
    """Return text with a capital and a full stop; a file name at its beginning keeps its case."""
    first = text[:1] if _NAME.match(text) else text[:1].upper()
    return first + text[1:].rstrip(".") + "." if text else ""


def shown(value: Any) -> str:
    """Return the value of a recipe's field as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(shown(item) for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"


def listed(names: Sequence[str]) -> Markup:
    """Return names as markup, at most eight of them; each keeps its own direction of writing."""
    return Markup(some([Markup("<bdi>{}</bdi>").format(name) for name in names], 8))


def flat_fields(recipe: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Return the fields of a recipe as (name, value) in text, those of its parts as "augment.flip"."""
    rows: list[tuple[str, str]] = []
    for key, value in recipe.items():
        name = f"{prefix}{key}"
        rows += flat_fields(value, f"{name}.") if isinstance(value, Mapping) else [(name, shown(value))]
    return rows


def data_name(data: Mapping[str, Any]) -> str:
    """Return the public name of a data set from its description."""
    return public_name(str(data["given"])) if "given" in data else "images"
