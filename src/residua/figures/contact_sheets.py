"""Pictures of explanations: one image with its answer, and contact sheets of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from residua._base.files import atomic_path
from residua.figures.overlay import Pixels, coloured, overlay, shown
from residua.figures.palette import rgb

_INK, _SOFT, _WRONG, _PAPER = map(rgb, ("ink", "soft", "wrong", "paper"))
# Sizes of the drawing, pixels.
_SIDE, _GAP, _MARGIN = 448, 8, 20
_TEXT, _SMALL, _HEAD = 16, 12, 36

Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True, eq=False)
class Panel:
    """An image with its lines of text.

    Attributes:
        pixels: uint8 (H, W, 3), as the network saw it.
        evidence: (H, W) ≥ 0.
        lines: text below it, the first in ink, the rest soft. Scripts that Pillow's own font lacks appear as boxes.
        wrong: whether the first line is drawn in the colour of mistakes.
        alike: other images to show below, of one picture alone: uint8 (H, W, 3) and a line of text each.
        alike_title: the line above them.
    """

    pixels: Pixels
    evidence: npt.NDArray[np.floating]
    lines: Sequence[str]
    wrong: bool = False
    alike: Sequence[tuple[Pixels, str]] = ()
    alike_title: str = ""


def write_panel(path: Path, panel: Panel) -> None:
    """Write one image beside its overlay, with its lines and the scale of the colours, as a PNG."""
    drawn = _drawn(panel, _SIDE, _TEXT, legend=True)
    strip = _strip(panel, drawn.width) if panel.alike else None
    below = strip.height + _MARGIN if strip else 0
    canvas = Image.new("RGB", (drawn.width + 2 * _MARGIN, drawn.height + below + 2 * _MARGIN), _PAPER)
    canvas.paste(drawn, (_MARGIN, _MARGIN))
    if strip is not None:
        canvas.paste(strip, (_MARGIN, drawn.height + 2 * _MARGIN))
    _save(canvas, path)


class ContactSheets:
    """Panels in a grid, written sheet by sheet: FILE.png, FILE-2.png, …. At most one sheet is held in memory.

    Args:
        path: the first sheet.
        title: text at the top of each, left of the colour scale.
        columns: panels per row.
        rows: panels per column.
        side: side of each picture, pixels; a panel is two pictures wide.
        lines: lines of text below each.
    """

    def __init__(
        self, path: Path, title: str, *, columns: int = 4, rows: int = 8, side: int = 160, lines: int = 2
    ) -> None:
        self.path, self.title = path, title
        self.columns, self.rows, self.side, self.lines = columns, rows, side, lines
        self.written: list[Path] = []
        self._panels: list[Image.Image] = []

    def add(self, panel: Panel) -> Path:
        """Place a panel, and return the path of its sheet; a full sheet is written at once."""
        where = sheet_path(self.path, len(self.written) + 1)
        self._panels.append(_drawn(panel, self.side, _SMALL, lines=self.lines))
        if len(self._panels) == self.columns * self.rows:
            self.close()
        return where

    def close(self) -> None:
        """Write the sheet that was begun, if there is one."""
        if not self._panels:
            return
        columns = min(self.columns, len(self._panels))
        rows = -(-len(self._panels) // columns)
        wide, high = (max(size) + _MARGIN for size in zip(*(panel.size for panel in self._panels), strict=True))
        # The title and the colour scale need the width of two panels.
        size = max(columns, 2) * wide + _MARGIN, rows * high + _MARGIN + _HEAD
        canvas = Image.new("RGB", size, _PAPER)
        font = ImageFont.load_default(_TEXT)
        room = size[0] - 3 * _MARGIN - _legend(canvas, _MARGIN, _MARGIN, _TEXT, font)
        title = _fitting(self.title, room, font)
        ImageDraw.Draw(canvas).text((_MARGIN, _MARGIN), title, fill=_INK, font=font)
        for index, panel in enumerate(self._panels):
            row, column = divmod(index, columns)
            canvas.paste(panel, (_MARGIN + column * wide, _MARGIN + _HEAD + row * high))
        path = sheet_path(self.path, len(self.written) + 1)
        _save(canvas, path)
        self.written.append(path)
        self._panels.clear()


def sheet_path(path: Path, number: int) -> Path:
    """Return the path of a sheet, counted from 1: FILE.png, FILE-2.png, …."""
    return path if number == 1 else path.with_stem(f"{path.stem}-{number}")


def _drawn(panel: Panel, side: int, size: int, *, lines: int | None = None, legend: bool = False) -> Image.Image:
    left, right = shown(panel.pixels, side), overlay(panel.pixels, panel.evidence, side)
    step, font = round(1.45 * size), ImageFont.load_default(size)
    width = 2 * side + _GAP
    top = max(side, left.height) + _GAP
    texts = list(panel.lines)[:lines]
    canvas = Image.new("RGB", (width, top + step * (len(texts) if lines is None else lines)), _PAPER)
    for picture, start in ((left, 0), (right, side + _GAP)):
        canvas.paste(picture, (start + (side - picture.width) // 2, (side - picture.height) // 2))
    draw = ImageDraw.Draw(canvas)
    bar = _legend(canvas, top, 0, size, font) if legend else 0
    for number, text in enumerate(texts):
        colour = _SOFT if number else _WRONG if panel.wrong else _INK
        room = width - (bar + _MARGIN if number == 0 and bar else 0)
        draw.text((0, top + number * step), _fitting(text, room, font), fill=colour, font=font)
    return canvas


def _strip(panel: Panel, width: int) -> Image.Image:
    """Return the other images in a row of at least four places, each above its line."""
    places = max(len(panel.alike), 4)
    side = (width - (places - 1) * _GAP) // places
    font, head = ImageFont.load_default(_SMALL), round(1.7 * _SMALL)
    canvas = Image.new("RGB", (width, head + side + _GAP + head), _PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((0, 0), _fitting(panel.alike_title, width, font), fill=_SOFT, font=font)
    for number, (pixels, text) in enumerate(panel.alike):
        left = number * (side + _GAP)
        canvas.paste(shown(pixels, side), (left, head))
        draw.text((left, head + side + _GAP), _fitting(text, side, font), fill=_INK, font=font)
    return canvas


def _legend(canvas: Image.Image, top: int, right: int, size: int, font: Font) -> int:
    """Draw the colour scale, `right` pixels from the right edge; return its width."""
    draw, length = ImageDraw.Draw(canvas), 8 * size
    less, more = "no evidence", "most"
    wide = [round(draw.textlength(word, font)) for word in (less, more)]
    whole = wide[0] + _GAP + length + _GAP + wide[1]
    start = canvas.width - right - whole
    draw.text((start, top), less, fill=_SOFT, font=font)
    bar = np.rint(coloured(np.linspace(0, 1, length))).astype(np.uint8)
    strip = Image.fromarray(np.ascontiguousarray(np.broadcast_to(bar, (size - 4, length, 3))))
    canvas.paste(strip, (start + wide[0] + _GAP, top + 4))
    draw.text((start + whole - wide[1], top), more, fill=_SOFT, font=font)
    return whole


def _fitting(text: str, width: int, font: Font) -> str:
    """Return the text, its end replaced by an ellipsis where it is too long; control characters are shown as spaces."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    if font.getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle] + "…") <= width else (low, middle - 1)
    return text[:low] + "…"


def _save(canvas: Image.Image, path: Path) -> None:
    with atomic_path(path) as beside:
        canvas.save(beside, "PNG")
