"""Pickles of plain values and arrays of numbers, loaded without trust: nothing else is called or allocated."""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any

import numpy as np

from residua._base.errors import InputError

_MOST_STEPS = 600_000
"""Instructions in a pickle; the largest official one has 350,000. Each can make an object of 60 bytes and more."""


def unpickle(data: bytes, name: str = "the pickle") -> Any:
    """Load a pickle of plain values and NumPy arrays.

    Args:
        data: the pickle.
        name: what errors call it.

    Raises:
        InputError: it is damaged, has too many instructions, or names anything but what arrays are made of.
    """
    try:
        for step, _ in enumerate(pickletools.genops(data)):
            if step >= _MOST_STEPS:
                raise InputError(
                    f"{name}: a pickle of more than {_MOST_STEPS:,} instructions",
                    "a pickle of arrays and short lists",
                    "Do not trust this file",
                )
        return _Arrays(io.BytesIO(data), encoding="bytes").load()
    except InputError:
        raise
    except Exception as error:  # A damaged pickle raises whatever its bytes happen to spell.
        raise InputError(
            f"{name}: damaged pickle: {error or type(error).__name__}",
            "a whole pickle of plain values and arrays",
            "Delete the file, and fetch it again",
        ) from None


class _NdarrayName:
    """Stands for numpy.ndarray, which a pickle may name as the kind of an array, and never call."""


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _reconstruct
        if (module, name) == ("numpy", "ndarray"):
            return _NDARRAY
        if (module, name) == ("numpy", "dtype"):
            return _dtype
        if (module, name) == ("_codecs", "encode"):
            return _encode
        raise InputError(
            f"a pickle that asks for {module}.{name}",
            "a pickle of plain values and arrays",
            "Do not trust this file",
        )


_NDARRAY = _NdarrayName()


def _reconstruct(kind: Any, shape: Any, code: Any) -> Any:
    if kind is not _NDARRAY or tuple(shape) != (0,):
        raise InputError(
            f"a pickled array of kind {kind!r}",
            "a plain array",
            "Fetch the archive again: the published one holds nothing else",
        )
    return np.ndarray(shape, np.uint8)


def _dtype(code: Any, *_: Any) -> np.dtype[Any]:
    kind: np.dtype[Any] = np.dtype(code.decode("latin-1") if isinstance(code, bytes) else str(code))
    # Types of free length could claim any size.
    if kind.kind not in "biuf":
        raise InputError(
            f"a pickled array of type {code!r}",
            "numbers",
            "Fetch the archive again: the published one holds nothing else",
        )
    return kind


def _encode(text: str, codec: str) -> bytes:
    if codec not in ("latin1", "latin-1"):
        raise InputError(
            f"a pickle that asks for the codec {codec!r}",
            "latin1",
            "Fetch the archive again: the published one holds nothing else",
        )
    return text.encode("latin-1")
