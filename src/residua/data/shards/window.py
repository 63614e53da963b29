"""The order of shards and of images within windows: a pure function of (seed, epoch), in memory that windows bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, overload

import numpy as np
import numpy.typing as npt

from residua._base.errors import InputError, at_least_one
from residua.data.random import order, window_order

Positions = npt.NDArray[np.int64]
WINDOW = 16_384
"""Images per window by default: some gigabytes of photos, of six or seven shards."""


class WindowOrder:
    """Orders of images that lie one behind the other in shards.

    An epoch permutes the shards and joins them to one line. The line is divided into windows of equal length, and
    within each the images are permuted. So what is read next lies in few shards. Each position of an epoch is
    computed without those before it. Processes and threads have no part in it.

    Args:
        counts: int64 (S,), the images of each shard, in the order of their positions.
        seed: of all orders.
        window: images per window.

    Raises:
        InputError: a window below 1.
    """

    def __init__(self, counts: Positions, seed: int, window: int) -> None:
        at_least_one(shuffle_window=window)
        self.counts, self.seed, self.window = counts, seed, window
        self.starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def epoch(self, epoch: int) -> EpochOrder:
        """Return the order of one epoch."""
        return EpochOrder(self, epoch)


class EpochOrder:
    """The order in which one epoch visits the images of `WindowOrder`."""

    def __init__(self, orders: WindowOrder, epoch: int) -> None:
        self._orders, self._epoch = orders, epoch
        self._shards = order(orders.seed, epoch, len(orders.counts))
        self._ends = np.cumsum(orders.counts[self._shards])
        self._kept: tuple[int, Positions] = (-1, np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self._orders)

    @property
    def windows(self) -> int:
        """Return how many windows the epoch has."""
        return -(-len(self) // self._orders.window)

    def window_of(self, cursor: int) -> int:
        """Return the window that the image at `cursor` of the epoch is in."""
        return cursor // self._orders.window

    def shards(self, window: int) -> Positions:
        """Return the shards that a window has images of, in the order of the line; none beyond the last window."""
        size = self._orders.window
        if window >= self.windows:
            return np.empty(0, np.int64)
        first = np.searchsorted(self._ends, window * size, "right")
        last = np.searchsorted(self._ends, min((window + 1) * size, len(self)), "left")
        ranks = self._shards[first : last + 1]
        return ranks[self._orders.counts[ranks] > 0]

    def span(self, start: int, stop: int) -> Positions:
        """Return the positions of the images from `start` up to `stop` of the epoch, int64 (stop - start,)."""
        stop, size = min(stop, len(self)), self._orders.window
        parts = []
        while start < stop:
            window = start // size
            end = min(stop, (window + 1) * size)
            parts.append(self._window(window)[start - window * size : end - window * size])
            start = end
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _window(self, window: int) -> Positions:
        if self._kept[0] != window:
            begin = window * self._orders.window
            count = min(self._orders.window, len(self) - begin)
            line = begin + window_order(self._orders.seed, self._epoch, window, count)
            ranks = np.searchsorted(self._ends, line, "right")
            shards = self._shards[ranks]
            # Each place of the line, counted from its shard's end, is the same place of that shard's positions.
            self._kept = window, self._orders.starts[shards + 1] - (self._ends[ranks] - line)
        return self._kept[1]


class Shards(Protocol):
    """Images that lie in shards; see `PackedImages`."""

    @property
    def shard_counts(self) -> Positions | None:
        """Images of each shard, int64 (S,), in the order of their positions; None where they have another order."""
        ...

    def prepare(self, shards: Positions) -> None:
        """Begin to fetch the shards of these numbers."""
        ...


def window_for(images: object, asked: int) -> int:
    """Return the images per window for data that is asked for with `shuffle_window`; 0 for an order of all images.

    Args:
        images: the source.
        asked: 0 for the default: windows where a packed data set is large.

    Raises:
        InputError: a window for images that do not stand in shards one behind the other.
    """
    if asked == 0:
        window: int = getattr(images, "window", WINDOW)
        return window if getattr(images, "large", False) and counts_for(images) is not None else 0
    if counts_for(images) is None:
        raise InputError(
            f"shuffle_window={asked} of images that do not lie in shards", "shards by residua pack", "Leave it out"
        )
    return asked


def counts_for(images: object) -> Positions | None:
    """Return the images of each shard, None where they do not stand in shards one behind the other."""
    counts: Positions | None = getattr(images, "shard_counts", None)
    return counts


class Pieces(Sequence[Positions]):
    """The batches of an epoch, computed as they are asked for.

    Args:
        visits: the order of the epoch.
        size: images per batch.
        first: the step to begin with.
        steps: of the whole epoch.
        prepare: called with the shards of a window and of the next one when its first batch is asked for.
    """

    def __init__(
        self,
        visits: EpochOrder,
        size: int,
        first: int,
        steps: int,
        prepare: Callable[[Positions], None] | None = None,
    ) -> None:
        self._visits, self._size, self._first, self._steps = visits, size, first, steps
        self._prepare, self._window = prepare, -1

    def __len__(self) -> int:
        return max(self._steps - self._first, 0)

    @overload
    def __getitem__(self, index: int) -> Positions: ...
    @overload
    def __getitem__(self, index: slice) -> list[Positions]: ...
    def __getitem__(self, index: int | slice) -> Positions | list[Positions]:
        steps = range(self._first, max(self._steps, self._first))[index]
        if isinstance(steps, range):
            return [self._at(step) for step in steps]
        return self._at(steps)

    def _at(self, step: int) -> Positions:
        start = step * self._size
        window = self._visits.window_of(start + self._size - 1)
        if self._prepare is not None and window != self._window:
            self._window = window
            self._prepare(np.concatenate([self._visits.shards(window), self._visits.shards(window + 1)]))
        return self._visits.span(start, start + self._size)
