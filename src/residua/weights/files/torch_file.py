"""Files of `torch.save`: read without executing anything, and with the true cause where that cannot be done."""

from __future__ import annotations

import argparse
import pathlib
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from residua._base.errors import InputError

# What training scripts keep beside the tensors, and what is safe to make: each of these only holds values. (torch's
# own list has tensors, OrderedDict and plain containers.)
_DTYPES = [getattr(np.dtypes, name) for name in np.dtypes.__all__]
_ALLOWED: list[Any] = [
    argparse.Namespace,
    pathlib.PurePosixPath,
    pathlib.PureWindowsPath,
    np.dtype,
    np.ndarray,
    *_DTYPES,
    *((function, f"numpy.{core}.multiarray.{name}") for core in ("core", "_core") for name, function in (
        ("scalar", np._core.multiarray.scalar),  # type: ignore[attr-defined]
        ("_reconstruct", np._core.multiarray._reconstruct),  # type: ignore[attr-defined]
    )),
    (pathlib.PurePosixPath, "pathlib.PosixPath"),
    (pathlib.PureWindowsPath, "pathlib.WindowsPath"),
]  # fmt: skip
_LARGEST_RATIO = 8  # torch stores tensors uncompressed: a zip that grows more is none of its own
_ROOM = 1 << 20  # bytes of small entries that compress better than the ratio


def load_torch(path: Path) -> Any:
    """Return what `torch.save` wrote, read with `weights_only=True`, on the CPU.

    Raises:
        InputError: a damaged file, a TorchScript program, one that would run code (nothing is run; the class is
            named), or one that takes more memory than there is.
    """
    _refuse_programs(path)
    try:
        with torch.serialization.safe_globals(_ALLOWED), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # A stream: of a path that ends in .safetensors torch believes the ending.
            with path.open("rb") as stream:
                return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Without torch's own words, which advise to load it all the same.
        named = re.search(r"GLOBAL ([A-Za-z_][\w.]*)", str(error))
        holds = f"holds {named[1]} beside or in place of tensors" if named else "is no plain file of tensors"
        raise InputError(
            f"{path} {holds}: it would run code when loaded",
            "safetensors, or a state dict as torch.save writes it; nothing was executed",
            "If you trust its source, save its state dict again as safetensors",
        ) from error
    except MemoryError as error:
        raise InputError(
            f"{path} asks for more memory than there is", "a whole file of weights", "Fetch it again"
        ) from error
    # A damaged file misleads torch's reader anywhere: it fails with whatever that place raises.
    except Exception as error:
        raise InputError(
            f"{path} cannot be read as weights: {_first_line(error)}", "a whole file of weights", "Fetch it again"
        ) from error


def _refuse_programs(path: Path) -> None:
    """Refuse TorchScript and archives that are not torch's, before torch reads them."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return  # an old file of torch, or a damaged one: torch reports what is wrong with it
    names = {entry.filename.partition("/")[2] for entry in entries}
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise InputError(
            f"{path} is a TorchScript program, with code beside its tensors",
            "a state dict: names and tensors",
            "If you trust its source: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')",
        )
    if sum(entry.file_size for entry in entries) > _LARGEST_RATIO * path.stat().st_size + _ROOM:
        raise InputError(
            f"{path} grows beyond {_LARGEST_RATIO} times its size when read",
            "a file as torch.save writes it, uncompressed",
            "Fetch it again",
        )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
