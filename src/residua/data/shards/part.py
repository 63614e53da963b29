"""What each of several processes takes of an epoch's batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Part:
    """What one of several processes takes of each batch, or of all batches.

    Attributes:
        rank: of the process, from 0.
        count: processes.
    """

    rank: int = 0
    count: int = 1

    def slice(self, batch: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return this process's part of a training batch, (B,): a piece of its first half, and the mirrored piece.

        So the images that mixup and cutmix mix, each with the one at the mirrored place, stay in one process.
        """
        size = len(batch)
        low, high = (-(-size // 2) * rank // self.count for rank in (self.rank, self.rank + 1))
        return np.concatenate([batch[low:high], batch[max(size - high, high) : size - low]])


class Slices(Sequence[npt.NDArray[np.int64]]):
    """A process's part of each batch, computed as it is asked for."""

    def __init__(self, batches: Sequence[npt.NDArray[np.int64]], part: Part) -> None:
        self._batches, self._part = batches, part

    def __len__(self) -> int:
        return len(self._batches)

    @overload
    def __getitem__(self, index: int) -> npt.NDArray[np.int64]: ...
    @overload
    def __getitem__(self, index: slice) -> list[npt.NDArray[np.int64]]: ...
    def __getitem__(self, index: int | slice) -> npt.NDArray[np.int64] | list[npt.NDArray[np.int64]]:
        if isinstance(index, slice):
            return [self._part.slice(batch) for batch in self._batches[index]]
        return self._part.slice(self._batches[index])
