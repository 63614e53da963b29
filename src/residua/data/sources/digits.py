"""Handwritten digits: 1,797 grey images of 8 × 8 pixels in ten classes (UCI, Alpaydin and Kaynak 1998).

`digits.npz` holds one row per image: 64 pixels of 0..16 in reading order, and the digit. `tools/digits_file.py` writes
it from scikit-learn's copy.
"""

from __future__ import annotations

from importlib import resources

import numpy as np
import numpy.typing as npt

from residua.data.dataset import Dataset, Split, hash_of_pixels
from residua.data.image_source import ArrayImages
from residua.data.splitting import stratify

CLASSES = tuple("0123456789")


def open_digits() -> Dataset:
    """Open the digits. The test part is the same for everyone: no argument of `open_dataset` reaches it."""
    table = _table()
    grey = np.round(table[:, :64].astype(np.float64) * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    whole = Split("train", table[:, 64].astype(np.int64), ArrayImages(np.repeat(grey, 3, axis=3)))
    kept, held = stratify(whole.labels, 0.2, seed=0)
    return Dataset(
        "digits",
        CLASSES,
        {"train": whole.subset(kept), "test": whole.subset(held, "test")},
        hash_of_pixels(CLASSES, {"all": whole}),
        ("handwritten digits of 8 × 8 pixels (UCI); the test part is a fixed fifth, class by class",),
    )


def _table() -> npt.NDArray[np.uint8]:
    """Return (1797, 65): 64 pixels of 0..16 in reading order, and the digit."""
    with resources.as_file(resources.files("residua.data.sources") / "digits.npz") as path, np.load(path) as stored:
        table: npt.NDArray[np.uint8] = stored["table"]
    return table
