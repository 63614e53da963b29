"""What every benchmark says of the machine, and how it writes its result."""

from __future__ import annotations

import json
import os
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from residua._base.files import write_text
from residua.evaluation.environment import environment

_PACKAGES = ("torch", "torchvision", "timm", "pillow", "simplejpeg", "numpy")


def describe(device: str = "cpu") -> dict[str, Any]:
    """Return processor, cores, load, versions and commit."""
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
        "commit": _commit(),
    }


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write a result as JSON, whole or not at all."""
    write_text(path, json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def _commit() -> str:
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent, capture_output=True, text=True
    )
    return found.stdout.strip() or "unknown"
