"""The one error of decoding, and the largest image that is decoded."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from residua._base.errors import InputError

Pixels = npt.NDArray[np.uint8]

MAX_PIXELS = 100_000_000  # photos of so many exist; what they take is bounded by a budget, docs/decisions/0142

_LONGEST_REASON = 200  # characters: decoders quote what a file holds, at any length
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class BadImage(InputError):
    """An image that cannot be decoded.

    Attributes:
        name: the file, or "the image" for bytes.
        reason: what is wrong with it, a short phrase on one line.
        remedy: what to do about it.
    """

    def __init__(self, name: str, reason: str, remedy: str = "Repair, replace or delete the file") -> None:
        # Decoders put parts of a file into their messages.
        reason = _CONTROL.sub(" ", reason)
        self.name = name
        self.reason = reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"
        super().__init__(f"{name}: {self.reason}", "an image file that decodes completely", remedy)

    def __reduce__(self) -> tuple[type[BadImage], tuple[str, str, str]]:
        return type(self), (self.name, self.reason, self.remedy)


class FetchFailure(BadImage):
    """An image whose bytes did not come over the network: another time they may. Its reason begins so."""

    WORDS = "not fetched: "


def check_size(height: int, width: int, name: str) -> None:
    """Refuse a size from an image's header, before memory is allocated for it.

    Raises:
        BadImage: no pixels, or more than 100 million.
    """
    if height * width > MAX_PIXELS:
        megapixels = height * width / 1e6
        raise BadImage(name, f"{width} × {height} is {megapixels:.0f} million pixels; at most 100 million are decoded")
    if height * width <= 0:
        raise BadImage(name, f"an image of {width} × {height} pixels")


def plain(error: Exception) -> str:
    """Return a plugin's reason as text: Pillow raises some messages as bytes. Without a message, the error's name."""
    message = error.args[0] if len(error.args) == 1 else None
    return repr(message)[2:-1] if isinstance(message, bytes) else str(error) or type(error).__name__
