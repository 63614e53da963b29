"""The receptive field: which pixels of the image a feature can see, exactly, through branches and uneven padding."""

from __future__ import annotations

from dataclasses import dataclass

Axis = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Field:
    """What the feature at row 0, column 0 sees, and how far its neighbours look further on.

    Attributes:
        rows: (first row, last row, jump). The interval of image rows may reach into the padding; the jump is the
            distance in pixels between neighbours, the stride so far.
        columns: the same for columns.
        whole: the feature depends on every pixel, whatever the size of the image (behind a global pool, a linear
            layer over positions, or squeeze-and-excitation).
    """

    rows: Axis = (0, 0, 1)
    columns: Axis = (0, 0, 1)
    whole: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels, padding included; of the way that is not global where `whole`."""
        return round(self.rows[1] - self.rows[0]) + 1, round(self.columns[1] - self.columns[0]) + 1

    @property
    def jump(self) -> tuple[float, float]:
        """The stride between neighbouring features, in pixels of the image."""
        return self.rows[2], self.columns[2]

    def through(
        self,
        kernel: tuple[int, int],
        stride: tuple[float, float] = (1, 1),
        before: tuple[int, int] = (0, 0),
        dilation: tuple[int, int] = (1, 1),
    ) -> Field:
        """Return the field behind a sliding window; `before` is the padding above and on the left."""
        if (kernel, stride, before) == ((1, 1), (1, 1), (0, 0)):
            return self
        axes = zip((self.rows, self.columns), kernel, stride, before, dilation, strict=True)
        rows, columns = (
            (low - jump * pad, high + jump * ((size - 1) * spread - pad), jump * step)
            for (low, high, jump), size, step, pad, spread in axes
        )
        return Field(rows, columns, self.whole)

    def join(self, other: Field) -> Field:
        """Return the field of what two ways lead to: the smallest interval that holds both."""
        if self == other:
            return self
        pairs = ((self.rows, other.rows), (self.columns, other.columns))
        rows, columns = ((min(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2])) for a, b in pairs)
        return Field(rows, columns, self.whole or other.whole)


WHOLE = Field(whole=True)
