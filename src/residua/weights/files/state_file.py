"""State dicts from files of torch and safetensors, told apart by their content, read without executing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import safetensors
import safetensors.torch

from residua._base.errors import InputError
from residua._base.run_files import MODEL_FILE
from residua.weights.bundle.read import read_bundle
from residua.weights.bundle.signed import is_bundle
from residua.weights.files.torch_file import load_torch
from residua.weights.files.unwrap import State, unwrap

Container = Literal["safetensors", "torch", "hdf5", ""]


def container_of(path: Path) -> Container:
    """Return what wrote a file, by its first bytes; "" for none of those known, and for no file at all."""
    try:
        with path.open("rb") as stream:
            start = stream.read(10)
    except OSError:
        return ""
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if len(start) > 8 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 1 << 32:
        return "safetensors"
    # A zip, or a pickle of protocol 2 to 5. Keras writes zips too, under its own ending.
    if start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")):
        return "torch"
    return ""


def read_state(path: Path) -> State:
    """Return the state dict in a file of `torch.save` or safetensors, whatever its ending, its wrappings taken off.

    Nests ("state_dict", "model", "model_ema", …), prefixes ("module.", "_orig_mod.", "model.", …) and what training
    keeps beside the network are taken off, in every container alike; see `unwrap`. Pickles are read with
    `weights_only=True`.

    Raises:
        InputError: no such file; a damaged one; one that holds something else or would run code (nothing is run).
    """
    if not path.is_file():
        raise InputError(
            f"{path} does not exist", f"a file of weights or a run folder with {MODEL_FILE}", "Check the path"
        )
    kind = container_of(path)
    if kind == "hdf5":
        raise InputError(f"{path} is HDF5", "a file of torch or safetensors", "Use source='keras' if Keras wrote it")
    if kind != "safetensors" and (kind == "torch" or path.suffix != ".safetensors"):
        return unwrap(path, load_torch(path))
    if is_bundle(path):
        return State(read_bundle(path)[1])
    try:
        return unwrap(path, safetensors.torch.load_file(path))
    except InputError:
        raise
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, MemoryError, OverflowError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise InputError(
            f"{path} cannot be read as weights: {reason}", "a whole file of weights", "Fetch it again"
        ) from error
