"""Files that Keras writes, without Keras: legacy `.h5`, `.weights.h5` and `.keras`.

HDF5 is a library in C, and files can be damaged so that it never returns, or crashes. So it reads in a process of its
own, which may be waited for in vain.
"""

from __future__ import annotations

import importlib.util
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from residua._base.errors import InputError
from residua._base.json_file import parse_json
from residua._base.subprocesses import python_module
from residua.weights.files import keras_hdf5

UNNAMED = "layers/"  # how the key of a layer begins whose own name the file does not tell
_PATIENCE_S = 60.0  # to start a process and import h5py on a busy machine
_SLOWEST_DISK = 5e6  # bytes a second
_WHOLE = "a whole file of Keras's: .h5, .weights.h5 or .keras"


class _Answer(TypedDict):
    names: NotRequired[list[str]]
    error: NotRequired[str]


def read_layers(path: Path | str) -> dict[str, NDArray[Any]]:
    """Read the weights of every layer.

    Returns:
        "layer/variable" -> values as stored: kernels HWIO, dense kernels (in, out). Variables are kernel, bias, gamma,
        beta, moving_mean, moving_variance. A layer whose own name the file does not tell comes under the name of its
        group, such as "layers/conv2d_3". State of optimizers, metrics and random generators is left out. Floating
        point comes as float32.

    Raises:
        InputError: no such file, h5py is missing, or a file that is damaged, hostile or none of Keras's.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist, or is no file", _WHOLE, "Check the path")
    if importlib.util.find_spec("h5py") is None:
        raise InputError(
            f"h5py is not installed, and {path.name} is HDF5",
            "h5py alone; neither Keras nor TensorFlow is needed",
            "Install it: pip install 'residua[keras]'",
        )
    with tempfile.TemporaryDirectory(prefix="residua-") as folder:
        target = Path(folder) / "layers.npz"
        answer = _answer(path, target)
        if "error" in answer:
            raise _damaged(path, answer["error"])
        names = answer.get("names", [])
        if not names:
            raise InputError(
                f"{path} holds no weights of layers",
                _WHOLE,
                "Save the model with model.save_weights('NAME.weights.h5')",
            )
        with np.load(target, allow_pickle=False) as values:
            return {name: values[f"arr_{index}"] for index, name in enumerate(names)}


def _answer(path: Path, target: Path) -> _Answer:
    """Return the answer of the reading process: {"names": […]}, with the values in `target`, or {"error": …}."""
    command, environment = python_module(keras_hdf5.__name__)
    patience = _PATIENCE_S + path.stat().st_size / _SLOWEST_DISK
    try:
        done = subprocess.run(
            [*command, str(path.absolute()), str(target)],
            env=environment | {"OPENBLAS_NUM_THREADS": "1"},
            cwd=target.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _damaged(path, f"HDF5 has not read it in {patience:.0f} seconds") from error
    if done.returncode < 0:
        raise _damaged(path, f"HDF5 crashed on it (signal {-done.returncode})")
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise InputError(f"{path} cannot be read: {last[0][:200]}", _WHOLE, "Check h5py: python -c 'import h5py'")
    return parse_json(done.stdout, _Answer, path)


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{path} is damaged, or no file of Keras's: {reason}", _WHOLE, "Fetch or save it again")
