"""Doubted labels as one offline page: each image with its label, the suggestion and the images most like it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment

from residua._base.files import write_text
from residua._version import __version__
from residua.data.decode import BadImage
from residua.data.preprocess.resize import resized_uint8
from residua.figures import pages
from residua.figures.pictures import SIDE, thumbnail_uri
from residua.labels.doubt import Doubt, Doubts
from residua.labels.pool import Pool

MOST = 200
"""Doubts with pictures: the page stays below some 10 MB."""


@dataclass(frozen=True)
class _Neighbour:
    label: str
    differs: bool
    cosine: str
    path: str
    picture: str


@dataclass(frozen=True)
class _Row:
    doubt: Doubt
    picture: str
    neighbours: tuple[_Neighbour, ...]


def write_doubt_page(path: Path, doubts: Doubts, corrections: str) -> None:
    """Write the page; `corrections` is the name of the CSV file beside it."""
    pictures = Pictures(doubts.pool)
    rows = [
        _Row(
            each,
            pictures.of(each.row),
            tuple(
                _Neighbour(near.label, near.label != each.given, f"{near.cosine:.3f}", near.path, pictures.of(near.row))
                for near in each.neighbours
            ),
        )
        for each in doubts.doubts[:MOST]
    ]
    text = (
        _templates()
        .get_template("doubt.html.j2")
        .render(
            doubts=doubts,
            rows=rows,
            corrections=corrections,
            pixelated=pictures.small,
            seen=doubts.images - doubts.unseen,
            version=__version__,
        )
    )
    write_text(path, text)


class Pictures:
    """Thumbnails of a pool's images, each made once.

    Attributes:
        small: whether one of them was small enough to be enlarged with its pixels visible.
    """

    def __init__(self, pool: Pool) -> None:
        self.small = False
        self._pool = pool
        self._made: dict[int, str] = {}

    def of(self, row: int) -> str:
        """Return a thumbnail as a data URI, "" where the file is gone meanwhile."""
        if row not in self._made:
            try:
                pixels = self._pool.read(row)
            except BadImage:
                return self._made.setdefault(row, "")
            height, width = pixels.shape[:2]
            self.small |= max(height, width) <= 64
            shorter = max(1, round(SIDE * min(height, width) / max(height, width)))
            self._made[row] = thumbnail_uri(
                pixels if max(height, width) <= SIDE else resized_uint8(pixels, shorter, "bilinear")
            )
        return self._made[row]


@cache
def _templates() -> Environment:
    templates = pages.environment("residua.labels")
    templates.globals.update(number=lambda value: f"{value:,}", percent=lambda rate: f"{100 * rate:.1f}%")
    return templates
