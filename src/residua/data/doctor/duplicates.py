"""Equal and nearly equal images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from residua.data.decode import Pixels

CORRELATION = 0.98  # of coarse grey thumbnails: these are only candidates, which DIFFERENCE confirms
DIFFERENCE = 4.0
"""Mean absolute difference of two thumbnails without their mean colours, levels of 0..255."""

_BLOCK = 512  # rows of a product: against 100,000 images (`NEAR_LIMIT`) one takes 0.2 GB


def exact_groups(digests: Sequence[bytes]) -> list[tuple[int, ...]]:
    """Return the groups of positions with equal digests, two or more each; empty digests never match."""
    places: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        if digest:
            places[digest].append(index)
    return [tuple(group) for group in places.values() if len(group) > 1]


def near_pairs(thumbnails: Pixels) -> list[tuple[int, int]]:
    """Return pairs (i, j), i < j, of thumbnails uint8 (N, 16, 16, 3) that show the same picture.

    Candidates correlate in 8 × 8 grey pixels (one matrix product a block, N² · 64 operations); they are
    confirmed in colour at full size. Pictures without any contrast are left to the exact comparison.
    """
    coarse = thumbnails.astype(np.float32).mean(3).reshape(-1, 8, 2, 8, 2).mean((2, 4)).reshape(-1, 64)
    coarse -= coarse.mean(1, keepdims=True)
    norms = np.linalg.norm(coarse, axis=1, keepdims=True)
    # Below one level of contrast a correlation is that of the rounding.
    coarse = np.where(norms > 8, coarse / np.maximum(norms, 1), 0).astype(np.float32)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(coarse), _BLOCK):
        alike = coarse[start : start + _BLOCK] @ coarse[start:].T > CORRELATION
        rows, columns = np.nonzero(alike)
        keep = columns > rows
        first, second = rows[keep] + start, columns[keep] + start
        for piece in range(0, len(first), 4096):
            one, other = first[piece : piece + 4096], second[piece : piece + 4096]
            close = _difference(thumbnails[one], thumbnails[other]) <= DIFFERENCE
            pairs += zip(one[close].tolist(), other[close].tolist(), strict=True)
    return pairs


def _difference(one: Pixels, other: Pixels) -> npt.NDArray[np.float32]:
    gap = one.astype(np.float32) - other.astype(np.float32)
    gap -= gap.mean((1, 2), keepdims=True)
    result: npt.NDArray[np.float32] = np.abs(gap).mean((1, 2, 3))
    return result
