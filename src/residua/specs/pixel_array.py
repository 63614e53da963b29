"""Numbers for each pixel as a frozen value: a mean image, a matrix that whitens. No numpy: `view` is a buffer."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Mapping
from typing import Any

from residua._base.errors import InputError

_BYTES = 4  # of a float32
_MOST_NUMBERS = 2**28  # 1 GB: a matrix of 16,384 rows
_REMEDY = "Restore the file that holds them from a copy"


class PixelArray:
    """An array of float32 that is equal to another, and hashes alike, where shape and bytes are the same.

    Attributes:
        shape: its dimensions.
        data: the numbers, row by row, in the machine's byte order.
        sha256: of shape and bytes.

    Raises:
        InputError: not as many bytes as the shape needs, a number that is not finite, or more than 2^28 numbers.
    """

    __slots__ = ("data", "sha256", "shape")

    def __init__(self, shape: tuple[int, ...], data: bytes) -> None:
        self.shape, self.data = tuple(map(int, shape)), bytes(data)
        count = math.prod(self.shape)
        if min(self.shape, default=0) < 1 or count > _MOST_NUMBERS or len(self.data) != _BYTES * count:
            raise InputError(
                f"{len(self.data):,} bytes for numbers of shape {self.shape}",
                f"{_BYTES} bytes per number",
                "Give float32 numbers of that shape",
            )
        # Of finite float32, no sum of so few leaves the range of a float64.
        if not math.isfinite(sum(memoryview(self.data).cast("f"))):
            raise InputError(
                f"numbers of shape {self.shape}, not all of them finite",
                "finite numbers",
                "Leave out what is NaN or infinite before the mean is computed",
            )
        self.sha256 = hashlib.sha256(f"{list(self.shape)}\n".encode() + self.data).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PixelArray) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __repr__(self) -> str:
        return f"PixelArray({' × '.join(map(str, self.shape))}, SHA-256 {self.sha256[:12]}…)"

    def view(self) -> memoryview[float]:
        """Return the numbers as a buffer of float32 in their shape: `numpy.asarray` takes it without a copy."""
        return memoryview(self.data).cast("B").cast("f", self.shape)

    def channel_means(self) -> tuple[float, ...]:
        """Return the mean over all but the last dimension."""
        flat, channels = memoryview(self.data).cast("f").tolist(), self.shape[-1]
        return tuple(math.fsum(flat[channel::channels]) * channels / len(flat) for channel in range(channels))

    def to_json(self, *, whole: bool = False) -> dict[str, Any]:
        """Return shape and hash as JSON holds them; `whole`: the numbers too, in base64."""
        stated: dict[str, Any] = {"shape": list(self.shape), "sha256": self.sha256}
        return stated | {"float32": base64.b64encode(self.data).decode()} if whole else stated

    @classmethod
    def from_json(cls, stated: Mapping[str, Any], data: bytes | None = None) -> PixelArray:
        """Undo `to_json`; `data`: the numbers, where they are kept elsewhere.

        Raises:
            InputError: numbers that do not have the shape and the hash that are stated.
        """
        try:
            shape = tuple(stated["shape"])
            array = cls(shape, base64.b64decode(stated["float32"], validate=True) if data is None else data)
        except (KeyError, TypeError, ValueError, binascii.Error, OverflowError) as error:
            raise InputError(
                f"numbers of pixels that cannot be read: {error}", "shape, sha256 and float32", _REMEDY
            ) from None
        if array.sha256 != stated.get("sha256"):
            raise InputError(
                f"numbers of pixels with SHA-256 {array.sha256[:16]}…",
                f"{str(stated.get('sha256'))[:16]}…, as stated",
                _REMEDY,
            )
        return array
