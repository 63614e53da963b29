"""The mean of each pixel that a user has as a file of numpy: read, checked and put into the units of [0, 1]."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from residua._base.errors import InputError
from residua._base.words import some
from residua.specs.pixel_array import PixelArray

_SAVE = "Write it with numpy.save('mean.npy', x_train.mean(axis=0))"
_NPY, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_LARGEST = 1 << 30  # bytes: 4096 × 4096 pixels have 0.2 GB as float32


def pixel_mean(numbers: Path | str | npt.ArrayLike, scale: float = 1.0) -> PixelArray:
    """Return the mean of each pixel, float32 (H, W, 3), in units of [0, 1].

    Args:
        numbers: an array, or a `.npy` file of one, of which nothing is executed. (H, W, 3) in R, G, B; (H, W) or
            (H, W, 1) hold for all three.
        scale: the value of white in its units: 1 or 255.

    Raises:
        InputError: no such file, no array of that shape, or numbers that are not finite.
    """
    name = f"mean_image={numbers}" if isinstance(numbers, Path | str) else "mean_image"
    try:
        array = _read(Path(numbers)) if isinstance(numbers, Path | str) else np.asarray(numbers)
        values = array.astype(np.float64)
    except (OSError, ValueError, TypeError, EOFError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(
            f"{name}, which cannot be read: {reason}", "a .npy file of one array of numbers", _SAVE
        ) from None
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[2] not in (1, 3) or not values.size:
        raise InputError(f"{name} of shape {array.shape}", "(H, W, 3) in R, G, B, or (H, W)", _SAVE)
    if lost := int(values.size - np.isfinite(values).sum()):
        raise InputError(
            f"{name} with {lost:,} of {values.size:,} numbers that are NaN or infinite",
            "finite numbers",
            f"Leave such pixels out of the mean. {_SAVE}",
        )
    if np.abs(values).max() > 1000 * scale:
        raise InputError(
            f"{name} with numbers from {values.min():g} to {values.max():g}",
            f"means, of which white is {scale:g}",
            "Give scale=255 for a mean of levels from 0 to 255" if scale < 255 else _SAVE,
        )
    whole = np.ascontiguousarray(np.broadcast_to(values / scale, (*values.shape[:2], 3)), np.float32)
    return PixelArray(whole.shape, whole.tobytes())


def _read(path: Path) -> npt.NDArray[np.generic]:
    if path.is_file() and path.stat().st_size > _LARGEST:
        raise ValueError(f"{path.stat().st_size:,} bytes are more than a mean image has")
    with path.open("rb") as file:
        if not file.read(len(_ZIP)).startswith((_NPY[: len(_ZIP)], _ZIP)):
            raise ValueError("it is not a .npy file")
    try:
        array = np.load(path, allow_pickle=False)
    except ValueError as error:
        # numpy recommends to unpickle, which would run what the file holds.
        raise ValueError("it holds Python objects, not numbers" if "pickle" in str(error) else str(error)) from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"it holds several arrays: {some(list(array.files))}")
    return array
