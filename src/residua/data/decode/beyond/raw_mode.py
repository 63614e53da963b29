"""How Pillow is about to unpack the pixels of an image that it has opened and not loaded."""

from __future__ import annotations

from typing import Any

from PIL import Image


def raw_mode_of(image: Image.Image) -> str:
    """Return Pillow's name of the order of samples in the file, or "" where the pixels are loaded."""
    tiles = getattr(image, "tile", [])
    if not tiles:
        return ""
    return str(tiles[0][3] if isinstance(tiles[0][3], str) else tiles[0][3][0])


def set_raw_mode(image: Any, raw_mode: str) -> None:
    """Have the pixels unpacked in a different order, which must fit the mode of the image."""
    image.tile = [_with_raw_mode(tile, raw_mode) for tile in image.tile]


def _with_raw_mode(tile: Any, raw_mode: str) -> Any:
    args = raw_mode if isinstance(tile[3], str) else (raw_mode, *tile[3][1:])
    # Before version 11 of Pillow a tile was a plain tuple.
    return tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args)
