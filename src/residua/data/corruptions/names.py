"""The 15 common corruptions and their published constants, at 32 and at 224 pixels.

Sources: Hendrycks and Dietterich 2019, with the constants of the authors' `make_cifar_c.py` (32 pixels) and
`make_imagenet_c.py` (224 pixels), https://github.com/hendrycks/robustness.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from residua._base.errors import InputError

KINDS: dict[str, tuple[str, ...]] = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
}
"""The names by kind, in the order of the paper."""
CORRUPTIONS = tuple(name for names in KINDS.values() for name in names)
SEVERITIES = (1, 2, 3, 4, 5)
LEAST_SIDE, MOST_SIDE = 32, 512
"""Shorter and longer sides of the images that can be corrupted, pixels."""
BOUNDARY = 85
"""The least shorter side, pixels, that takes the constants of 224: those of 32 hold below. It is nearer in ratio."""

# One entry per severity. Lengths are pixels, as published, whatever the image's side.
_AT_32: dict[str, tuple[Any, ...]] = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "shot_noise": (500, 250, 100, 75, 50),
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
    "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    "zoom_blur": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    "snow": (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "elastic_transform": (
        (0, 0, 32 * 0.08),
        (32 * 0.05, 32 * 0.2, 32 * 0.07),
        (32 * 0.08, 32 * 0.06, 32 * 0.06),
        (32 * 0.1, 32 * 0.04, 32 * 0.05),
        (32 * 0.1, 32 * 0.03, 32 * 0.03),
    ),
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
    "jpeg_compression": (80, 65, 58, 50, 40),
}
_AT_224: dict[str, tuple[Any, ...]] = {
    "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
    "shot_noise": (60, 25, 12, 5, 3),
    "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
    "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    "zoom_blur": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    "snow": (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    "frost": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
    # The authors' 244 is kept: it makes the published images.
    "elastic_transform": (
        (244 * 2, 244 * 0.7, 244 * 0.1),
        (244 * 2, 244 * 0.08, 244 * 0.2),
        (244 * 0.05, 244 * 0.01, 244 * 0.02),
        (244 * 0.07, 244 * 0.01, 244 * 0.02),
        (244 * 0.12, 244 * 0.01, 244 * 0.02),
    ),
    "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
    "jpeg_compression": (25, 18, 15, 10, 7),
}


def published_side(size: tuple[int, int]) -> int:
    """Return whose constants images of this height and width take: those of 32 or of 224 pixels."""
    return 32 if min(size) < BOUNDARY else 224


def constants(name: str, severity: int, size: tuple[int, int]) -> Any:
    """Return the published constants of a corruption for images of a height and width."""
    table = _AT_32 if published_side(size) == 32 else _AT_224
    return table[name][severity - 1]


def checked_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the corruptions that names list, in the order of the paper; none lists all.

    Raises:
        InputError: an unknown name.
    """
    wanted = [str(name).strip().lower().replace("-", "_") for name in names]
    for name in wanted:
        if name not in CORRUPTIONS:
            raise InputError(
                f"corruption {name!r}", f"some of {', '.join(CORRUPTIONS)}", f"Did you mean {_nearest(name)}?"
            )
    return tuple(name for name in CORRUPTIONS if name in wanted or not wanted)


def _nearest(name: str) -> str:
    """Return the corruption most like a name, as a whole or by one of its words."""

    def likeness(corruption: str) -> float:
        parts = (corruption, *corruption.split("_"))
        return max(difflib.SequenceMatcher(None, name, part).ratio() for part in parts)

    return max(CORRUPTIONS, key=likeness)


def checked_severities(severities: Sequence[int]) -> tuple[int, ...]:
    """Return severities in rising order, each once; none lists all.

    Raises:
        InputError: one is not 1 to 5.
    """
    for each in severities:
        if isinstance(each, bool) or not isinstance(each, int) or each not in SEVERITIES:
            raise InputError(f"severity={each}", "1 (slight) to 5 (severe)", "Leave it out for all five")
    return tuple(sorted(set(severities))) or SEVERITIES


def check_size(size: tuple[int, int]) -> None:
    """Refuse images that the published definitions do not fit.

    Raises:
        InputError: a side below 32 or above 512 pixels.
    """
    if min(size) < LEAST_SIDE or max(size) > MOST_SIDE:
        raise InputError(
            f"images of {size[0]} × {size[1]} pixels to be corrupted",
            f"sides of {LEAST_SIDE} to {MOST_SIDE} pixels",
            "Evaluate a network with inputs of such a size",
        )
