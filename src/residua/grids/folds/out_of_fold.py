"""The answers for images that were held out, in a NumPy archive.

`out_of_fold.npz` in the folder of a cross-validation holds, for N images of the training part in the order of the data:

- `paths`: text (N,), the names of the images, see `Dataset.image_name`: paths relative to the data, with "/";
- `labels`: int64 (N,), the given labels, positions in `classes`;
- `logits`: float32 (N, K), of the run that had the image held out;
- `folds`: int64 (N,), the fold of the image, from 1;
- `positions`: int64 (N,), its place in the training part before any fold was taken out;
- `classes`: text (K,);
- `data_hash`: text (), `Dataset.hash`.

Images that do not decode are not in it. It is read with `allow_pickle=False`.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from residua._base.errors import Damaged
from residua._base.files import atomic_path, read_regular

OUT_OF_FOLD = "out_of_fold.npz"
_LARGEST_BYTES = 16 << 30


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Answers of runs for images that they had held out.

    Attributes:
        paths: N names of images.
        labels: int64 (N,).
        logits: float32 (N, K).
        folds: int64 (N,), from 1.
        positions: int64 (N,), in the training part before any fold was taken out; ascending.
        classes: K names.
        data_hash: of the data.
    """

    paths: tuple[str, ...]
    labels: NDArray[np.int64]
    logits: NDArray[np.float32]
    folds: NDArray[np.int64]
    positions: NDArray[np.int64]
    classes: tuple[str, ...]
    data_hash: str

    def write(self, path: Path) -> None:
        """Write the archive, whole or not at all."""
        texts = {"paths": self.paths, "classes": self.classes, "data_hash": self.data_hash}
        arrays: dict[str, Any] = {name: np.array(value, dtype=np.str_) for name, value in texts.items()}
        arrays |= {name: getattr(self, name) for name in ("labels", "logits", "folds", "positions")}
        with atomic_path(path) as beside, beside.open("wb") as stream:
            np.savez(stream, **arrays)


def read_out_of_fold(path: Path) -> OutOfFold:
    """Return what `OutOfFold.write` wrote.

    Raises:
        Damaged: the file is absent, or is not as it was written.
    """
    content = read_regular(path, _LARGEST_BYTES)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            labels, logits, folds, positions = (arrays[name] for name in ("labels", "logits", "folds", "positions"))
            paths, classes = tuple(arrays["paths"].tolist()), tuple(arrays["classes"].tolist())
            data_hash = str(arrays["data_hash"])
    except (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise Damaged(path, f"it is no archive of answers ({error})") from None
    shapes = [each.shape for each in (labels, folds, positions)]
    if shapes != [(len(paths),)] * 3 or logits.shape != (len(paths), len(classes)):
        raise Damaged(path, "its arrays are of different lengths")
    if not np.isfinite(logits).all() or (len(labels) and not 0 <= labels.min() <= labels.max() < len(classes)):
        raise Damaged(path, "its numbers are no answers")
    return OutOfFold(paths, labels, logits, folds, positions, classes, data_hash)


def joined(parts: list[OutOfFold]) -> OutOfFold:
    """Return the answers of all folds together, in the order of the data."""
    positions = np.concatenate([part.positions for part in parts])
    order = np.argsort(positions, kind="stable")
    paths = [path for part in parts for path in part.paths]
    labels, logits, folds = (
        np.concatenate([getattr(part, name) for part in parts])[order] for name in ("labels", "logits", "folds")
    )
    named = tuple(paths[index] for index in order.tolist())
    return OutOfFold(named, labels, logits, folds, positions[order], parts[0].classes, parts[0].data_hash)
