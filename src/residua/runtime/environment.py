"""Where a number was measured: versions and machine, as text."""

from __future__ import annotations

import copy
import functools
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from residua import __version__
from residua._base.errors import InputError
from residua._base.subprocesses import program


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
        "processor": _processor(),
        "threads": f"{torch.get_num_threads()} of {os.cpu_count()} processors",
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def pick_device(device: torch.device | str | None) -> torch.device:
    """Return the device asked for; by default (None, "auto") the GPU where there is one.

    Raises:
        InputError: an unknown device, or one that this machine does not have.
    """
    if device is None or str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    wanted = "'auto', 'cpu', 'cuda' or 'cuda:N'"
    try:
        found = torch.device(device)
    except RuntimeError:
        raise InputError(f"device {device!r}", wanted, "Leave it out for the GPU where there is one") from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"device {str(device)!r} on a machine with {torch.cuda.device_count()} CUDA devices", wanted, "Use 'cpu'"
        )
    if found.type not in ("cpu", "cuda"):
        raise InputError(f"device {str(device)!r}", wanted, "Leave it out for the GPU where there is one")
    return found


def on_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy of the model in eval mode on `device`, channels-last: the layout that convolves fastest."""
    return copy.deepcopy(model).to(device).to(memory_format=torch.channels_last).eval()


@functools.cache
def _commit() -> str:
    """The commit of a checkout that Residua runs from, "-dirty" with changes behind it; "" for an installed one."""
    root = Path(__file__).parents[3]
    if not (root / ".git").exists():
        return ""
    git = program("git")
    if git is None:
        return ""
    # A repository's configuration may name a program to run; this command needs none.
    words = [git, "-c", "core.fsmonitor=false", "-C", str(root), "describe", "--always", "--dirty"]
    known = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=10, cwd=root, env=known).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
