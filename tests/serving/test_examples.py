"""examples/serving: each file by its own schema or linter; the image needs what it lists, and stays small."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from residua.serving.app import ROUTES

EXAMPLES = Path(__file__).parents[2] / "examples" / "serving"
LARGEST_IMAGE = 1.2e9
BASE_IMAGE = 0.15e9
"""python:3.12-slim takes 0.12 GB unpacked; rounded up."""


def _checked(tool: str, *words: str) -> None:
    """Run a linter; skip where it is not installed."""
    path = shutil.which(tool, path=str(Path(sys.executable).parent)) or shutil.which(tool)
    if path is None:
        pytest.skip(f"no {tool}: pip install 'residua[dev]'")
    done = subprocess.run([path, *words], cwd=EXAMPLES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dockerfile() -> None:
    _checked("hadolint", "Dockerfile")


def test_compose() -> None:
    _checked("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")


def test_kubernetes() -> None:
    _checked("kubernetes-validate", "--strict", "kubernetes.yaml")


def test_addresses_are_those_of_the_server() -> None:
    """Probes ask for routes that there are, and Prometheus for the service of the composition."""
    routes = {path for _, path, _ in ROUTES}
    kubernetes, compose = ((EXAMPLES / name).read_text() for name in ("kubernetes.yaml", "compose.yaml"))
    paths = re.findall(r"httpGet: \{path: (\S+),", kubernetes)
    assert len(paths) == 3
    assert set(paths) <= routes
    assert re.findall(r"targets: \[\"(\w+):8000\"\]", (EXAMPLES / "prometheus.yaml").read_text()) == ["residua"]
    assert "\n  residua:\n" in compose
    assert re.findall(r"127.0.0.1:8000(/\S+?)'", (EXAMPLES / "Dockerfile").read_text()) == ["/v2/health/ready"]
    grace, drain = (int(value) for value in re.findall(r'"--(?:grace|drain)", "(\d+)"', kubernetes))
    assert grace + drain < int(re.findall(r"terminationGracePeriodSeconds: (\d+)", kubernetes)[0])


def _closure() -> set[str]:
    """Return the packages of the image: those of requirements.txt, and what they need here."""
    waiting = [line.split("==")[0] for line in (EXAMPLES / "requirements.txt").read_text().split()]
    found: set[str] = set()
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        found.add(name)
        for need in map(Requirement, importlib.metadata.requires(name) or []):
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                waiting.append(need.name)
    return found


def test_the_image_is_small() -> None:
    """The sum of what the packages hold here, with the base and the package itself."""
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    size = BASE_IMAGE
    for name in _closure():
        files = importlib.metadata.files(name) or []
        size += sum(path.stat().st_size for each in files if (path := Path(str(each.locate()))).is_file())
    assert BASE_IMAGE < size < LARGEST_IMAGE / 2, f"{size / 1e9:.2f} GB"


def test_the_image_has_what_the_server_imports(exported: Path) -> None:
    """A process that finds no other packages opens the export, computes, and builds the application."""
    packages = _closure()
    allowed = sorted(
        module
        for module, names in importlib.metadata.packages_distributions().items()
        if any(re.sub(r"[-_.]+", "-", name).lower() in packages for name in names)
    )
    code = f"""
import sys

class Only:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in {[*allowed, "residua"]!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Only())
import numpy as np
from residua.cli.app import build_app as command
from residua.cli.commands import serve
from residua.serving import server
from residua.serving.app import build_app
from residua.serving.model import ModelVersion
from residua.serving.service import Service
from residua.serving.settings import Settings
from residua.serving.workers import engine, worker

version = ModelVersion.open("a", "1", {str(exported)!r}, Settings())
build_app(Service(Settings()), [version])
print(version.network.logits([[np.zeros((8, 8, 3), np.uint8)]]).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "(1, 3)\n", done.stderr
