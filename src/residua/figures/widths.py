"""How wide text is, for boxes and edges that have to hold it in any font."""

from __future__ import annotations


def width_of(content: str, size: float, bold: bool = False) -> float:
    """Return how wide a line of text is at most, in pixels.

    Measured in DejaVu Sans: of the usual sans-serif faces it is the widest, and many systems fall back to it.
    """
    widths = _BOLD if bold else _REGULAR
    return size * sum(widths.get(character, 0.85) for character in content)


def _by_character(table: str) -> dict[str, float]:
    groups = (each.split(" ", 1) for each in table.strip().splitlines())
    return {character: float(width) for width, characters in groups for character in characters}


# Advance widths in parts of the font's size; a character that is not listed counts as 0.85.
_REGULAR = _by_character(
    """
0.32  'ijlIJ.,·
0.36 :;/|f-
0.42 ()tr
0.56 szc_L
0.6 FkvxyP
0.64 TYoaeEhnubdgpqS0123456789
0.7 KAVXZBRC
0.79 UNHDGOQ
0.98 mMW
"""
)
_BOLD = _by_character(
    """
0.38  'ijl/|IJ.,·
0.48 :;-f()t
0.6 rzcs_
0.7 LxvykaeTEFo0123456789
0.74 hnubdgpqSYZPC
0.78 BRXAVK
0.85 UGDHNOQ
0.93 w
1.11 MmW
"""
)
