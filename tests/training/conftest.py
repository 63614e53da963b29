"""One small finished run for all tests of training that only look at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

SMALL: dict[str, Any] = {
    "recipe": "fast",
    "epochs": 2,
    "batch_size": 64,
    "image_size": 16,
    "workers": 1,
    "kernels": "eager",
    "device": "cpu",
}


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """Overrides that make a run of digits short."""
    return dict(SMALL)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run: cifar_resnet8, two epochs of digits at 16 pixels."""
    from residua.training.loop import train

    folder = tmp_path_factory.mktemp("runs") / "finished"
    train("digits", "cifar_resnet8", out=folder, progress=False, **SMALL)
    return folder
