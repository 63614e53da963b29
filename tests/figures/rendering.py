"""Programs outside of browsers that draw SVG files: cairosvg and librsvg."""

from __future__ import annotations

import importlib.util
import io
import shutil
import subprocess

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

PROGRAMS = ("cairosvg", "librsvg")


def pixels(svg: str, program: str) -> npt.NDArray[np.uint8]:
    """Return the picture as (H, W, 3), drawn on black by the program; skip the test where it is not installed."""
    with Image.open(io.BytesIO(_drawn(svg.encode(), program))) as picture:
        coloured = picture.convert("RGBA")
    below = Image.new("RGBA", coloured.size, "black")
    return np.asarray(Image.alpha_composite(below, coloured).convert("RGB"))


def _drawn(svg: bytes, program: str) -> bytes:
    if program == "librsvg":
        command = shutil.which("rsvg-convert")
        if command is None:
            pytest.skip("no librsvg: install Debian's package librsvg2-bin")
        return subprocess.run([command], input=svg, check=True, capture_output=True).stdout
    if importlib.util.find_spec("cairosvg") is None:
        pytest.skip("no cairosvg: pip install cairosvg")
    try:
        import cairosvg
    except OSError:
        pytest.skip("no cairo: install Debian's package libcairo2")
    found: bytes = cairosvg.svg2png(bytestring=svg)
    return found
