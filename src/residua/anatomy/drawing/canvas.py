"""SVG elements and short numbers for the pictures of networks."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from residua.figures.sheets import standing_alone


def number(value: float) -> str:
    """Return a coordinate to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def element(tag: str, content: str = "", /, **attributes: object) -> str:
    """Return an element; `content` is markup. In names `_` becomes `-`, and `cls` becomes class; None is left out."""
    words = [tag]
    for key, value in attributes.items():
        if value is None:
            continue
        name = "class" if key == "cls" else key.replace("_", "-")
        words.append(f"{name}={quoteattr(number(value) if isinstance(value, float) else str(value))}")
    return f"<{' '.join(words)}>{content}</{tag}>" if content else f"<{' '.join(words)}/>"


def document(body: Sequence[str], width: float, height: float, spoken: str) -> str:
    """Return an SVG file that stands alone: style sheet, paper, and `body` on it; `spoken` is read aloud."""
    return element(
        "svg",
        "".join([element("style", standing_alone("network.css")), box(0, 0, width, height, "paper", 0), *body]),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=number(width),
        height=number(height),
        role="img",
        aria_label=spoken,
    )


def text(x: float, y: float, content: str, style: str, title: str = "") -> str:
    """Return a line of text at its baseline."""
    hint = element("title", escape(title)) if title else ""
    return element("text", hint + escape(content), x=float(x), y=float(y), cls=style)


def box(x: float, y: float, width: float, height: float, style: str, radius: float = 3, title: str = "") -> str:
    """Return a rectangle."""
    hint = element("title", escape(title)) if title else ""
    return element(
        "rect",
        hint,
        x=float(x),
        y=float(y),
        width=float(width),
        height=float(height),
        rx=float(radius),
        cls=style,
    )


def path(commands: str, style: str) -> str:
    """Return a path."""
    return element("path", d=commands, cls=style)


def arrow_head(x: float, y: float, downward: bool = False) -> str:
    """Return a small triangle with its tip at (x, y)."""
    n = number
    if downward:
        return path(f"M{n(x - 3.5)} {n(y - 6)}L{n(x + 3.5)} {n(y - 6)}L{n(x)} {n(y)}Z", "arrow")
    return path(f"M{n(x - 6)} {n(y - 3.5)}L{n(x - 6)} {n(y + 3.5)}L{n(x)} {n(y)}Z", "arrow")


def short(value: float) -> str:
    """Return 1814073344 as "1.81 G"."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:g}"
