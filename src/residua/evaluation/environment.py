"""Where a number was measured: versions and machine, as text."""

from __future__ import annotations

import copy
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn


def environment(device: torch.device | str = "cpu") -> dict[str, str]:
    """Return the versions, processor, threads, device and date of this process."""
    device = torch.device(device)
    return {
        "residua": version("residua"),
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
    """Return the device asked for; by default (None, "auto") the GPU where there is one."""
    if device is None or str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def on_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy of the model in eval mode on `device`, channels-last: the layout that convolves fastest."""
    return copy.deepcopy(model).to(device).to(memory_format=torch.channels_last).eval()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
