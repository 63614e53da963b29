"""How answers bear corruption: accuracy by kind and severity, and the mean corruption error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from residua.evaluation.measures.metrics import wilson

Right = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class CorruptedCell:
    """One corruption at one severity.

    Attributes:
        severity: 1 to 5.
        top1: accuracy, a fraction of 1.
        top1_interval: Wilson's 95% interval of it.
        thumbnail: an image so corrupted, a data URI; "" where it was not drawn.
    """

    severity: int
    top1: float
    top1_interval: tuple[float, float]
    thumbnail: str = field(default="", repr=False)


@dataclass(frozen=True)
class CorruptionRow:
    """One corruption.

    Attributes:
        name: as in `CORRUPTIONS`.
        kind: noise, blur, weather or digital.
        cells: one per severity.
        error: the mean error over the severities.
    """

    name: str
    kind: str
    cells: tuple[CorruptedCell, ...]
    error: float


@dataclass(frozen=True)
class Corruptions:
    """How a run bears corruption; errors are shares of wrong answers, fractions of 1.

    Attributes:
        rows: one per corruption, in the order of the paper.
        severities: those that were measured.
        published_side: 32 or 224: whose constants hold, those of CIFAR-10-C or of ImageNet-C.
        seed: of what is random in corruptions.
        count: images.
        clean_error: the error on the images as they are.
        mean_error: the mean corruption error: over corruptions and severities, not divided by a baseline's.
        mean_error_interval: its 95% interval: images are the sample, the mean error of each over the cells its value.
        relative_error: `mean_error` less `clean_error`.
        relative_error_interval: its 95% interval, over the same images.
        picture: the image in the pictures, by its path; "" where none are drawn.
    """

    rows: tuple[CorruptionRow, ...]
    severities: tuple[int, ...]
    published_side: int
    seed: int
    count: int
    clean_error: float
    mean_error: float
    mean_error_interval: tuple[float, float]
    relative_error: float
    relative_error_interval: tuple[float, float]
    picture: str = ""

    @property
    def worst(self) -> CorruptionRow:
        """The corruption with the greatest error."""
        return max(self.rows, key=lambda row: row.error)


def corruption_row(name: str, kind: str, right: dict[int, Right], thumbnails: dict[int, str]) -> CorruptionRow:
    """Return the row of a corruption.

    Args:
        name: of the corruption.
        kind: its kind.
        right: severity -> whether each image was answered rightly, (N,).
        thumbnails: severity -> picture, or nothing.
    """
    cells = tuple(
        CorruptedCell(
            level, float(each.mean()), wilson(int(each.sum()), len(each)), thumbnail=thumbnails.get(level, "")
        )
        for level, each in right.items()
    )
    return CorruptionRow(name, kind, cells, 1 - math.fsum(cell.top1 for cell in cells) / len(cells))


def corruptions(
    rows: Sequence[CorruptionRow],
    clean: Right,
    wrong_cells: npt.NDArray[np.int64],
    *,
    published_side: int,
    seed: int,
    picture: str,
) -> Corruptions:
    """Return the account of all corruptions.

    Args:
        rows: one per corruption, each with the same severities.
        clean: whether each image was answered rightly as it is, (N,).
        wrong_cells: of how many corruptions and severities each image was answered wrongly, (N,).
        published_side: 32 or 224.
        seed: of what is random.
        picture: the path of the image that is shown.
    """
    severities = tuple(cell.severity for cell in rows[0].cells)
    shares = wrong_cells / (len(rows) * len(severities))
    apart = shares - ~clean
    return Corruptions(
        rows=tuple(rows),
        severities=severities,
        published_side=published_side,
        seed=seed,
        count=len(clean),
        clean_error=float(1 - clean.mean()),
        mean_error=float(shares.mean()),
        mean_error_interval=_interval(shares, 0, 1),
        relative_error=float(apart.mean()),
        relative_error_interval=_interval(apart, -1, 1),
        picture=picture,
    )


def _interval(values: npt.NDArray[np.float64], least: float, most: float) -> tuple[float, float]:
    """Return the 95% interval of a mean by the normal approximation; the whole range for a single value."""
    if len(values) < 2:
        return least, most
    mean, half = float(values.mean()), NormalDist().inv_cdf(0.975) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return max(least, mean - half), min(most, mean + half)
