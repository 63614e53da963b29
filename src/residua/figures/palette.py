"""Colours and fonts of every page, chart and drawing, light and dark, stated once.

A page refers to them as CSS variables. An SVG file that stands alone holds literal values: cairosvg, librsvg and most
editors know neither variables nor media queries. They draw it in the light colours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "ink": "#16191d",
    "soft": "#5c6570",
    "line": "#d9dee3",
    "box": "#f5f7f9",
    "accent": "#1b5fa8",
    "wrong": "#b3401f",
    "other": "#b4bcc4",
    # Shades of the confusion matrix, and the text on the darkest two of them.
    "accent-rgb": "27 95 168",
    "wrong-rgb": "172 58 28",
    "on-shade": "#ffffff",
    "on-seven": "#16191d",
    # Lines of one chart, in the order in which they are given out.
    "c1": "#1b5fa8",
    "c2": "#b3401f",
    "c3": "#2c7a4b",
    "c4": "#8a5a00",
    "c5": "#7a3e9d",
    "c6": "#4a5560",
    # Kinds of blocks, and the ways around them, in drawings of networks.
    "conv": "#4c86c6",
    "residual": "#2f6db5",
    "plain": "#6b93bd",
    "gated": "#b0692c",
    "inception": "#7a5bb0",
    "dense": "#258a80",
    "pool": "#94a1ae",
    "linear": "#c4862b",
    "identity": "#d2453d",
    "projection": "#8a2f86",
    "on-block": "#ffffff",
}
DARK: Mapping[str, str] = {
    "paper": "#121518",
    "ink": "#f2f4f6",
    "soft": "#9aa4ae",
    "line": "#2e353c",
    "box": "#1b2025",
    "accent": "#7ab4f2",
    "wrong": "#f09070",
    "other": "#4a535c",
    "accent-rgb": "92 158 230",
    "wrong-rgb": "222 112 78",
    "on-shade": "#050607",
    "on-seven": "#050607",
    "c1": "#7ab4f2",
    "c2": "#f09070",
    "c3": "#7fd0a0",
    "c4": "#e0b860",
    "c5": "#cf9df0",
    "c6": "#b4bec8",
    "conv": "#5f9ada",
    "residual": "#4d8bd6",
    "plain": "#7ea5cd",
    "gated": "#d08a4c",
    "inception": "#9c7fd0",
    "dense": "#3faea2",
    "pool": "#76838f",
    "linear": "#dda04a",
    "identity": "#ff7b72",
    "projection": "#d884d3",
    "on-block": "#ffffff",
}
PRINT: Mapping[str, str] = {**LIGHT, "ink": "#000000", "soft": "#4a4f55", "line": "#c8cdd2", "box": "#f2f4f6"}
FONTS: Mapping[str, str] = {
    "sans": 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif',
    # Of drawings whose boxes are measured to their texts: "system-ui" may be a far wider face.
    "measured": '"Inter", "Helvetica Neue", "Segoe UI", Arial, sans-serif',
    "mono": "ui-monospace, Menlo, Consolas, monospace",
}
LINES = ("c1", "c2", "c3", "c4", "c5", "c6")
"""CSS classes of a chart's lines, in the order in which they are given out."""

_VARIABLE = re.compile(r"var\(--([a-z0-9-]+)\)")
_RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")


def variables() -> str:
    """Return the rules that give a page its CSS variables: light, dark, on paper."""
    dark, paper = _declared(DARK), _declared(PRINT)
    return (
        f":root {{ color-scheme: light dark; {_declared(LIGHT)} {_declared(FONTS)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
        f"@media print {{ :root {{ {paper} }} }}\n"
    )


def literal(rules: str) -> str:
    """Return flat CSS rules for an SVG that stands alone: variables replaced by the light values, dark ones behind.

    Args:
        rules: without nested rules; colours as `var(--ink)`, fonts as `var(--sans)`.

    Raises:
        KeyError: a variable that the palette lacks.
    """
    dark = []
    for selector, body in _RULE.findall(rules):
        coloured = [each.strip() for each in body.split(";") if set(_VARIABLE.findall(each)) & DARK.keys()]
        if coloured:
            dark.append(f"{selector.strip()} {{ {'; '.join(coloured)} }}")
    overrides = "\n".join(_filled(rule, DARK) for rule in dark)
    return f"{_filled(rules, LIGHT).strip()}\n@media (prefers-color-scheme: dark) {{\n{overrides}\n}}\n"


def filled(rules: str) -> str:
    """Return CSS rules or declarations with the light values in place of variables."""
    return _filled(rules, LIGHT)


def rgb(name: str) -> tuple[int, int, int]:
    """Return a light colour as three bytes, for pictures of pixels."""
    value = LIGHT[name].removeprefix("#")
    return int(value[:2], 16), int(value[2:4], 16), int(value[4:], 16)


def _declared(values: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in values.items())


def _filled(rules: str, colours: Mapping[str, str]) -> str:
    known = {**colours, **FONTS}
    return _VARIABLE.sub(lambda match: known[match[1]], rules)
