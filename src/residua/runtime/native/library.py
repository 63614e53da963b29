"""Builds the C++ kernels with the system's compiler on first use, keeps them in a cache, and loads them."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import subprocess
import warnings
from pathlib import Path

import torch

from residua._base.errors import Damaged
from residua._base.files import atomic_path, read_regular
from residua._base.subprocesses import program
from residua.runtime.native.keeping import is_ours, keep_to_ourselves, trusted_folder
from residua.runtime.native.structures import differing_sizes
from residua.runtime.processor import processor

_FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fPIC", "-shared", "-Wno-psabi")
_COMPILERS = ("c++", "g++", "clang++")
_SECONDS = 120  # a compiler that hangs must not hold up the training
_FORMAT = "with its SHA-256"  # part of the key: libraries that were built without it are not found
_LARGEST_BYTES = 1 << 28  # far above a library of ours: nothing else is read whole


class Unavailable(Exception):
    """Why the kernels cannot be used here, in a few words."""


@functools.cache
def load() -> ctypes.CDLL | Unavailable:
    """Return the library, built first if necessary, or the reason why there is none; decided once per process."""
    try:
        library = ctypes.CDLL(str(_built()))
    except Unavailable as reason:
        return reason
    except (OSError, subprocess.SubprocessError) as error:
        return Unavailable(f"the kernels could not be built or loaded: {error}")
    library.residua_sizes.restype = None
    if differing := differing_sizes(library):
        return Unavailable(f"the kernels and their caller disagree: {differing}")
    for name in ("residua_chain_forward", "residua_chain_infer", "residua_chain_backward"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
        getattr(library, name).restype = ctypes.c_int
    return library


@functools.cache
def multiplies_bf16() -> bool:
    """Return whether the library can be used, and this processor has an instruction that multiplies pairs of bf16."""
    library = load()
    return not isinstance(library, Unavailable) and bool(library.residua_multiplies_bf16())


def _built() -> Path:
    """Return the path of the library, keyed by sources, compiler, flags, processor and OpenMP runtime."""
    if platform.machine() not in ("x86_64", "AMD64"):
        raise Unavailable(f"the kernels are for x86-64, and this is {platform.machine()}")
    folder = Path(__file__).parent
    sources = sorted([*folder.glob("*.cpp"), *folder.glob("*.h")])
    compiler = _given_compiler() or next(filter(None, map(program, _COMPILERS)), None)
    if not compiler:
        raise Unavailable(f"there is no C++ compiler (tried {', '.join(_COMPILERS)})")
    openmp = _openmp_runtime()
    version = _run([*compiler.split(), "--version"])
    key = hashlib.sha256()
    for part in (
        _FORMAT,
        compiler,
        version,
        " ".join(_FLAGS),
        " ".join(sorted(processor().flags)),
        str(openmp),
        *(s.read_text() for s in sources),
    ):
        key.update(part.encode() + b"\0")
    # A folder of the library's name, whoever made it, must not keep the kernels away.
    names = (f"{key.hexdigest()[:24]}{mark}.so" for mark in ("", *(f"-{number}" for number in range(1, 10))))
    target = next((path for path in map(trusted_folder().joinpath, names) if not path.is_dir()), None)
    if target is None:
        raise Unavailable(f"folders in {trusted_folder()} have the names that the library takes")
    if not (is_ours(target) and _is_whole(target)):
        # Two processes that start at once both build; each renames a whole file into place.
        with atomic_path(target) as beside:
            main = [str(s) for s in sources if s.suffix == ".cpp"]
            objects = f"{beside}.o"
            try:
                _run([*compiler.split(), *_FLAGS[:-2], "-fopenmp", "-Wno-psabi", "-c", *main, "-o", objects])
                # Linked against torch's own OpenMP runtime: two runtimes would spin against each other's threads.
                _run(
                    [
                        *compiler.split(),
                        "-shared",
                        objects,
                        str(openmp) if openmp else "-fopenmp",
                        "-o",
                        str(beside),
                    ]
                )
            finally:
                Path(objects).unlink(missing_ok=True)
            with beside.open("ab") as stream:
                stream.write(hashlib.sha256(beside.read_bytes()).digest())
        keep_to_ourselves(target)
    return target


def _is_whole(library: Path) -> bool:
    """Return whether a library still has the bytes that it was built with; their SHA-256 stands behind them.

    A loader ignores what follows the sections. It also maps a damaged library, whose code then ends the process.
    """
    try:
        content = read_regular(library, _LARGEST_BYTES)
        whole = hashlib.sha256(content[:-32]).digest() == content[-32:]
    except Damaged:
        whole = False
    if not whole:
        warnings.warn(f"{library} is damaged: the kernels are built again.", stacklevel=2)
    return whole


def _given_compiler() -> str:
    """Return $CXX, its program by an absolute path, since it runs in a different folder."""
    name, *options = os.environ.get("CXX", "").split() or [""]
    return " ".join([os.path.abspath(name) if os.sep in name else program(name) or name, *options]) if name else ""


def _run(command: list[str]) -> str:
    # An empty entry of CPATH or LIBRARY_PATH is the working directory to a compiler: headers of the user's folder.
    folder = Path(__file__).parent
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False, cwd=folder)
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
        raise Unavailable(f"{command[0]} failed: {first[:300]}")
    return done.stdout


def _openmp_runtime() -> Path | None:
    """Return the OpenMP runtime that torch has loaded, under whatever name its wheel gives it."""
    torch.get_num_threads()
    paths = {Path(line.split()[-1]) for line in Path("/proc/self/maps").read_text().splitlines()}
    libraries = sorted(p for p in paths if p.name.startswith(("libgomp", "libiomp5", "libomp")) and p.exists())
    # Other packages bring runtimes of their own; torch's lies in torch/lib or torch.libs.
    home = Path(torch.__file__).parent
    own = [p for p in libraries if home in p.parents or p.parent.name == "torch.libs"]
    return next(iter(own or libraries), None)
