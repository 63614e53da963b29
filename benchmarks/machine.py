"""What all benchmarks share: facts of the machine, waiting for it, spread of repeated times, and the result file."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from residua._base.files import write_text
from residua.runtime.environment import environment

_PACKAGES = ("torch", "torchvision", "timm", "pillow", "simplejpeg", "numpy")


def describe(device: str = "cpu") -> dict[str, Any]:
    """Return processor, cores, load, commit and versions."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        **environment(device),
        "load_1min": os.getloadavg()[0],
        "versions": versions,
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median, minimum and maximum."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write a result as JSON, whole or not at all."""
    write_text(path, json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def wait(device: torch.device) -> None:
    """Wait until the device has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
