"""Exact nearest neighbours by cosine, in blocks of matrix products: memory does not grow with what is searched."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from residua.evaluation.measures.metrics import FloatArray, IntArray

Vectors = npt.NDArray[np.floating]
_ROWS, _QUERIES = 4096, 1024  # of a product: 32 MB


class Nearest:
    """Keeps for each query the rows most like it, of blocks that come one after the other.

    Args:
        queries: (Q, D).
        count: rows to keep per query; all where there are fewer.
    """

    def __init__(self, queries: Vectors, count: int) -> None:
        self._queries, self._count = unit(queries), count
        self._rows: IntArray = np.empty((len(queries), 0), np.int64)
        self._cosines: FloatArray = np.empty((len(queries), 0))
        self._seen = 0

    def add(self, block: Vectors) -> None:
        """Take the next rows, (M, D)."""
        for start in range(0, len(block), _ROWS):
            rows = unit(block[start : start + _ROWS])
            parts = [self._best(first, rows) for first in range(0, len(self._queries), _QUERIES)]
            if parts:
                self._rows, self._cosines = (np.concatenate(each) for each in zip(*parts, strict=True))
            self._seen += len(rows)

    def _best(self, first: int, rows: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return the best rows of some queries, of those kept and the new ones."""
        some = slice(first, first + _QUERIES)
        cosines = self._queries[some] @ rows.T
        numbers = np.broadcast_to(np.arange(self._seen, self._seen + len(rows)), cosines.shape)
        cosines = np.concatenate([self._cosines[some], cosines], axis=1)
        numbers = np.concatenate([self._rows[some], numbers], axis=1)
        if self._count < cosines.shape[1]:
            chosen = np.argpartition(-cosines, self._count - 1, axis=1)[:, : self._count]
            cosines, numbers = np.take_along_axis(cosines, chosen, 1), np.take_along_axis(numbers, chosen, 1)
        # Of rows that are equally like it, the one that came first stands first.
        order = np.lexsort((numbers, -cosines), axis=1)
        return np.take_along_axis(numbers, order, 1), np.take_along_axis(cosines, order, 1)

    @property
    def rows(self) -> IntArray:
        """int64 (Q, k): positions in the order in which the rows came, the most alike first."""
        return self._rows

    @property
    def cosines(self) -> FloatArray:
        """float64 (Q, k), in the order of `rows`."""
        return self._cosines


def unit(vectors: Vectors) -> FloatArray:
    """Return vectors (N, D) of length 1, float64; a vector of zeros stays."""
    values = np.asarray(vectors, np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    result: FloatArray = np.divide(values, lengths, out=np.zeros_like(values), where=lengths > 0)
    return result
