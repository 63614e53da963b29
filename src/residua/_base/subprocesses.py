"""Processes of our own, and the processors for them: none runs code from the folder that the user stands in."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path

_PIECE = 1 << 16
# Read by every process of a run; a relative value means the folder that the user stands in.
_FOLDERS = ("RESIDUA_CACHE", "RESIDUA_DATA")


def python_module(module: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that runs a module of this package, and the environment to run it in.

    `python -m` puts the working directory first on the import path, and so does an empty or relative entry of
    PYTHONPATH. A `json.py` in a folder of images would run. Safe path leaves the directory out, and of PYTHONPATH only
    absolute entries stay. The package is the one that this process runs, wherever it was imported from.
    """
    places = [str(_package())] if _package() not in _installed() else []
    places += [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(entry)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {key: os.path.abspath(environment[key]) for key in _FOLDERS if environment.get(key)}
    environment["PYTHONSAFEPATH"] = "1"
    if places:
        environment["PYTHONPATH"] = os.pathsep.join(places)
    return [sys.executable, "-P", "-m", module], environment


def at_end_of_stdin(act: Callable[[], object]) -> None:
    """Call `act` in a thread when standard input ends: the parent, which holds its other end, has closed it or died."""
    # Of the descriptor itself: a thread in sys.stdin.read holds its lock, and an interpreter that ends aborts on that.
    descriptor = sys.stdin.fileno()

    def watch() -> None:
        while os.read(descriptor, _PIECE):
            pass
        act()

    threading.Thread(target=watch, daemon=True).start()


def processors() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # of Linux alone
        return os.cpu_count() or 1


def program(name: str) -> str | None:
    """Return the absolute path of a program, None where there is none; relative entries of PATH are not searched."""
    places = [entry for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(entry)]
    return shutil.which(name, path=os.pathsep.join(places))


def _package() -> Path:
    return Path(__file__).absolute().parents[2]


def _installed() -> set[Path]:
    """List the folders that Python searches by itself; first on PYTHONPATH, they would hide the standard library."""
    return {Path(path) for path in sysconfig.get_paths().values()}
