"""Where a number was measured: versions and machine, as text."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from residua._base.subprocesses import program
from residua._version import __version__
from residua.runtime.processor import processor


def environment(device: torch.device | str = "cpu") -> dict[str, str]:
    """Return the versions, processor, threads, device and date of this process; the commit where Residua's is known."""
    device = torch.device(device)
    commit = _commit()
    return {
        "residua": __version__,
        **({"commit": commit} if commit else {}),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor().name,
        "threads": f"{torch.get_num_threads()} of {os.cpu_count()} processors",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


@functools.cache
def _commit() -> str:
    """Return the commit of the checkout that Residua runs from, "-dirty" where it has changes; "" when installed."""
    root, git = Path(__file__).parents[3], program("git")
    if git is None or not (root / ".git").exists():
        return ""
    # A repository's configuration may name a program to run; this command needs none.
    words = [git, "-c", "core.fsmonitor=false", "-C", str(root), "describe", "--always", "--dirty"]
    # Variables such as GIT_DIR would make it describe some other repository.
    known = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=10, cwd=root, env=known).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
