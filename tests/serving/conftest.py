"""Fixtures: a run that recognises colours, images of them, a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluation.runs import COLOURS, colour_run, noise, paint
from residua.exporting.export import export
from serving.running import Running, running


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three classes with a threshold."""
    calibration = {"temperature": 2.0, "thresholds": {"0.9": 0.5, "0.95": 0.7, "0.99": None}}
    metrics = {"split": "val", "count": 40, "top1": 0.975, "loss": 0.1}
    return colour_run(tmp_path_factory.mktemp("runs") / "a", calibration=calibration, metrics=metrics)


@pytest.fixture(scope="session")
def exported(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of that run for OpenVINO, which opens without torch and so at once."""
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    return export(run_folder, format="openvino", out=tmp_path_factory.mktemp("exports") / "a").folder


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A picture of each colour, and one of noise."""
    folder = tmp_path_factory.mktemp("images")
    files = {name: paint(folder / f"{name}.png", value, 20) for name, value in COLOURS.items()}
    noise(30).save(folder / "noise.png")
    return files | {"noise": folder / "noise.png"}


@pytest.fixture(scope="module")
def server(run_folder: Path) -> Iterator[Running]:
    """A server of that run, as model "a", with the run's parent as repository."""
    with running({"a": {"1": run_folder}}, repository=run_folder.parent) as served:
        yield served
