"""The rules of figures as attributes of their marks, for figures that are saved without their page.

A style sheet overrides presentation attributes: in a page nothing changes.
"""

from __future__ import annotations

import html
import re
from functools import cache

from markupsafe import Markup

from residua.figures.palette import LIGHT, filled
from residua.figures.sheets import rules
from residua.figures.widths import width_of

LOOKS: tuple[str, ...] = (
    "fill",
    "stroke",
    "stroke-width",
    "stroke-dasharray",
    "stroke-linejoin",
    "stroke-linecap",
)
LOOKS += ("opacity", "text-anchor", "font-size", "font-weight", "font-family")
"""The attributes that marks carry."""
# Sizes of the drawing, pixels.
_MARGIN = 12
_TEXT = re.compile(r"<text ([^>]*)>([^<]*)</text>")
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
_SELECTOR = re.compile(r"(svg )?(\w+)?(?:\.([\w-]+))?")
_MARK = re.compile(r'<(\w+)(?: class="([^"]*)")?( [^>]*?)?(/?)>')


def with_attributes(figure: Markup) -> Markup:
    """Return an SVG element whose marks carry the light values of `figures.css`; a mark is known by its class."""
    return Markup(_MARK.sub(_marked, str(figure)))


def alone(figure: str) -> str:
    """Return a figure of a page as an SVG file that stands alone: in the light colours, on paper, with a margin.

    In a page labels may reach over a figure's edge; the file is as wide as they are.

    Raises:
        ValueError: not an SVG element with a viewBox from 0 0.
    """
    start = re.match(r'(<svg [^>]*)viewBox="0 0 ([\d.]+) ([\d.]+)"([^>]*>)', figure)
    if start is None:
        raise ValueError("wanted an SVG element with a viewBox from 0 0")
    left, right = _reach(figure)
    left, right = min(0.0, left) - _MARGIN, max(float(start[2]), right) + _MARGIN
    width, height = f"{right - left:g}", f"{float(start[3]) + 2 * _MARGIN:g}"
    head = start[1].replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"')
    view_box = f'viewBox="{left:g} {-_MARGIN} {width} {height}" width="{width}" height="{height}"'
    paper = f'<rect x="{left:g}" y="{-_MARGIN}" width="{width}" height="{height}" fill="{LIGHT["paper"]}"/>'
    return f"{head}{view_box}{start[4]}{paper}{figure[start.end() :]}\n"


def _reach(figure: str) -> tuple[float, float]:
    """Return how far the texts of a figure reach to the left and to the right; turned ones are left out."""
    ends = [0.0]
    for attributes, content in _TEXT.findall(figure):
        values = dict(_ATTRIBUTE.findall(attributes))
        if "transform" in values:
            continue
        bold = values.get("font-weight") == "600"
        width = width_of(html.unescape(content), float(values["font-size"].removesuffix("px")), bold)
        before = {"middle": width / 2, "end": width}.get(values.get("text-anchor", ""), 0.0)
        ends += [float(values["x"]) - before, float(values["x"]) - before + width]
    return min(ends), max(ends)


def _marked(match: re.Match[str]) -> str:
    tag, classes, rest, end = match[1], match[2], match[3] or "", match[4]
    if tag == "svg":
        # Inherited: it would be long on every text.
        family = next(each["font-family"] for _, _, each in _rules() if "font-family" in each)
        return f'<svg class="{classes}"{rest} font-family="{family}">'
    if tag == "title" or (classes is None and tag != "text"):
        return match[0]
    named = "" if classes is None else f' class="{classes}"'
    return f"<{tag}{named}{rest}{_attributes(tag, classes or '')}{end}>"


@cache
def _attributes(tag: str, classes: str) -> str:
    """Return the attributes of a mark, each with a space before it."""
    looks: dict[str, str] = {}
    for element, name, declarations in _rules():
        if element in ("", tag) and (not name or name in classes.split()):
            looks |= declarations
    colour = looks.pop("color", "")
    values = {key: colour if value == "currentColor" else value for key, value in looks.items()}
    return "".join(f' {key}="{value}"' for key, value in values.items() if key in LOOKS[:-1] and value)


@cache
def _rules() -> tuple[tuple[str, str, dict[str, str]], ...]:
    """Return element, class and declarations of each rule, the more specific ones later."""
    known = []
    for order, (selector, body) in enumerate(_RULE.findall(rules("figures.css"))):
        parts = _SELECTOR.fullmatch(selector.strip())
        if parts is None:
            raise ValueError(f"{selector.strip()!r} in figures.css: wanted an element, a class, or both")
        inside, element, name = parts[1] or "", parts[2] or "", parts[3] or ""
        specific = (bool(name), bool(inside) + bool(element), order)
        known.append((specific, (element, name, dict(_declarations(filled(body))))))
    return tuple(rule for _, rule in sorted(known, key=lambda pair: pair[0]))


def _declarations(body: str) -> list[tuple[str, str]]:
    pairs = []
    for each in filter(str.strip, body.split(";")):
        key, value = (part.strip().replace('"', "'") for part in each.split(":", 1))
        if key == "font":
            size, family = value.split(" ", 1)
            pairs += [("font-size", size), ("font-family", family)]
        else:
            pairs.append((key, "none" if value == "transparent" else value))
    return pairs
