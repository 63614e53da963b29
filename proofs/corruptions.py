"""Proof: each corruption of `residua evaluate --corrupt` equals its published definition.

    PYTHON proofs/corruptions.py [--images 2]

PYTHON has opencv-python-headless, scikit-image and imagecorruptions beside residua; no test needs them. The definitions
of tests/data/corruptions/definitions.py run on OpenCV and scikit-image, as the published scripts do, with the same
random numbers: at 32 pixels with the constants of CIFAR-10-C, at 224 with those of ImageNet-C. The package
imagecorruptions is held beside ours too, with its random numbers replaced by ours, where it has the same definition.
Motion blur and snow stand beside a plain form of ImageMagick's rule and beside imagecorruptions.
The outcome goes to docs/proofs/corruptions.json and .md. Exit 1 where a value differs by more than a level.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from data.corruptions.definitions import Tools, defined  # noqa: E402 - it stands beside the tests that use it
from residua.data.corruptions.corrupt import corrupt  # noqa: E402
from residua.data.corruptions.draws import Draws  # noqa: E402
from residua.data.corruptions.names import CORRUPTIONS, SEVERITIES, constants  # noqa: E402

Array = npt.NDArray[Any]
OUTCOME = ROOT / "docs" / "proofs"
MOST = 1  # level: both sides round down
# It zooms from a corner, shuffles otherwise, and has an elastic transform of its own.
OTHERWISE = {"zoom_blur", "glass_blur", "elastic_transform", "frost", "snow", "impulse_noise"}


class Libraries(Tools):
    """The tools of the published scripts."""

    def gaussian(self, image: Array, sigma: float, mode: str = "nearest", truncate: float = 4.0) -> Array:
        """Blur by scikit-image."""
        import skimage.filters

        axis = -1 if image.ndim == 3 else None
        return skimage.filters.gaussian(image, sigma=sigma, mode=mode, truncate=truncate, channel_axis=axis)

    def filter2d(self, plane: Array, kernel: Array) -> Array:
        """Correlate by OpenCV."""
        import cv2

        return cv2.filter2D(plane, -1, kernel)

    def small_gaussian(self, plane: Array, size: int, sigma: float) -> Array:
        """Blur by OpenCV, in single precision as published."""
        import cv2

        return cv2.GaussianBlur(plane.astype(np.float32), (size, size), sigma)

    def affine(self, image: Array, source: Array, target: Array) -> Array:
        """Move three points by OpenCV."""
        import cv2

        matrix = cv2.getAffineTransform(source.astype(np.float32), target.astype(np.float32))
        return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)

    def lighter(self, image: Array, added: float) -> Array:
        """Add to the value by scikit-image."""
        import skimage.color

        hsv = skimage.color.rgb2hsv(image)
        hsv[..., 2] = np.clip(hsv[..., 2] + added, 0, 1)
        return skimage.color.hsv2rgb(hsv)

    def salt_and_pepper(self, image: Array, amount: float, draws: Draws) -> Array:
        """Set values by scikit-image."""
        import skimage.util

        class Ours(np.random.Generator):
            def random(self, shape: Any = None, *_: Any, **__: Any) -> Any:
                return draws.uniform(3, *shape[:2])[0].transpose(1, 2, 0)

        return skimage.util.random_noise(image, mode="s&p", amount=amount, rng=Ours(np.random.PCG64(0)))


@contextlib.contextmanager
def drawn(draws: Draws) -> Iterator[None]:
    """Let numpy's global functions return our random numbers."""

    def planes(size: Any, numbers: Any) -> Any:
        if size is None:
            return numbers(1)[0, 0]
        shape = (size[2], *size[:2]) if len(size) == 3 else tuple(size)
        found = numbers(*shape)[0]
        return found.transpose(1, 2, 0) if len(size) == 3 else found

    def poisson(means: Array) -> Array:
        from scipy.stats import poisson as counts

        chance = planes(means.shape, draws.uniform)
        return np.where(means > 0, counts.ppf(chance, np.maximum(means, 1e-12)), 0)

    with (
        patch.object(np.random, "normal", lambda loc=0, scale=1, size=None: loc + scale * planes(size, draws.normal)),
        patch.object(
            np.random,
            "uniform",
            lambda low=0, high=1, size=None: low + (high - low) * planes(size, draws.uniform),
        ),
        patch.object(np.random, "poisson", poisson),
        patch.object(np, "float_", np.float64, create=True),
    ):
        yield


def pictures(side: int, count: int) -> Array:
    """Return photos of a kind: smooth colours, edges, noise; uint8 (N, S, S, 3)."""
    random = np.random.default_rng(side)
    images = []
    for _ in range(count):
        coarse = random.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        image = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)).copy()
        image[side // 4 : side // 2, side // 3 :] = random.integers(0, 256, 3)
        image[: side // 8] = random.integers(0, 256, (side // 8, side, 3))
        images.append(image)
    return np.stack(images)


def compared(ours: Array, theirs: Array) -> dict[str, float]:
    """Return the greatest difference in levels, and the share of values that differ."""
    apart = np.abs(ours.astype(np.int64) - theirs.astype(np.int64))
    return {"most": int(apart.max()), "share": round(float((apart > 0).mean()), 6)}


def prove(count: int) -> list[dict[str, Any]]:
    """Hold every corruption at every severity and both sides beside its definition."""
    import imagecorruptions.corruptions as peer

    rows = []
    for side in (32, 224):
        images = pictures(side, count)
        for name in CORRUPTIONS:
            for severity in SEVERITIES:
                ours = corrupt(images.transpose(0, 3, 1, 2), name, severity, np.arange(count)).transpose(0, 2, 3, 1)
                row: dict[str, Any] = {"corruption": name, "severity": severity, "side": side}
                constant = constants(name, severity, (side, side))
                if name != "frost":
                    wanted = [
                        defined(name, image, constant, Draws(name, severity, [index], 0), Libraries()).astype(np.uint8)
                        for index, image in enumerate(images)
                    ]
                    row["definition"] = compared(ours, np.stack(wanted))
                if side == 224 and name not in OTHERWISE:
                    found = []
                    for index, image in enumerate(images):
                        with drawn(Draws(name, severity, [index], 0)):
                            found.append(np.asarray(getattr(peer, name)(Image.fromarray(image), severity)))
                    rounded = np.floor(np.stack(found) + (0.5 if name == "motion_blur" else 0))
                    row["imagecorruptions"] = compared(ours, rounded.astype(np.uint8))
                rows.append(row)
                print(row, file=sys.stderr, flush=True)
    return rows


def page(rows: list[dict[str, Any]], command: str, versions: dict[str, str]) -> str:
    """Return the outcome as a short page."""
    lines = ["# Corruptions beside their published definitions", "", f"`{command}`", ""]
    lines += [
        "Greatest difference in levels of 255, and the share of values that differ, over the five severities, with the",
        "same random numbers. Both sides round down to whole levels: a difference of 1 is a value that lies on a",
        "level, computed in another order. Frost has no row: it is drawn, where the published one pastes photographs.",
        "",
        "| corruption | 32 pixels | share | 224 pixels | share | imagecorruptions, 224 | share |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in CORRUPTIONS:
        cells = []
        for side, key in ((32, "definition"), (224, "definition"), (224, "imagecorruptions")):
            found = [row[key] for row in rows if row["corruption"] == name and row["side"] == side and key in row]
            cells += (
                [str(max(each["most"] for each in found)), f"{max(each['share'] for each in found):.4%}"]
                if found
                else ["–", "–"]
            )
        if name != "frost":
            lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "imagecorruptions has no row where its definition is another: zoom blur from a corner, another"]
    lines += ["elastic transform, and what its snow, glass blur and salt and pepper draw in another order.", ""]
    return "\n".join([*lines, ", ".join(f"{name} {number}" for name, number in versions.items()), ""])


def main() -> int:
    """Run the proof and write its outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=2, help="per side")
    given = parser.parse_args()
    began = time.monotonic()
    rows = prove(given.images)
    names = ("numpy", "torch", "scipy", "pillow", "opencv-python-headless", "scikit-image", "imagecorruptions")
    versions = {name: version(name) for name in names} | {"python": platform.python_version()}
    command = f"proofs/corruptions.py --images {given.images}"
    outcome = {
        "proof": "corruptions beside their published definitions",
        "command": command,
        "rows": rows,
        "seconds": round(time.monotonic() - began, 1),
        "versions": versions,
    }
    (OUTCOME / "corruptions.json").write_text(json.dumps(outcome, indent=1) + "\n")
    (OUTCOME / "corruptions.md").write_text(page(rows, command, versions))
    wrong = [
        row for row in rows for key in ("definition", "imagecorruptions") if key in row and row[key]["most"] > MOST
    ]
    for row in wrong:
        print("Differs:", row, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
