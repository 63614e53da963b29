"""The style sheets of figures, in layers: what every drawing shares, then the marks of one kind."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from residua.figures.palette import literal


@cache
def rules(name: str) -> str:
    """Return the rules of a drawing's style sheet, those of every drawing first; colours are variables."""
    folder = resources.files("residua.figures").joinpath("templates")
    texts = (folder.joinpath(each).read_text(encoding="utf-8") for each in ("drawing.css", name))
    # The sheets are templates of pages too: their comments are those of the templates.
    return re.sub(r"\{#.*?#\}\n?", "", "".join(texts), flags=re.DOTALL)


@cache
def standing_alone(name: str) -> str:
    """Return the style sheet of an SVG file that stands alone: literal colours, light and dark."""
    return literal(rules(name))
