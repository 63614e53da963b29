"""Fixtures of all tests: a cache of their own, the test data, the peers."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from two_digits import SHORT, two_digits

TEST_DATA = "RESIDUA_TEST_DATA"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the decoded images of a test out of the user's cache."""
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test off the network; those with a server on this machine allow it themselves."""
    monkeypatch.setenv("RESIDUA_OFFLINE", "1")


@pytest.fixture(scope="session")
def reference_file() -> Callable[[str], Path]:
    """A function that returns a file of real images, weights or facts, below the folder $RESIDUA_TEST_DATA.

    The test is skipped where the variable is not set, or the folder does not have the file.
    """

    def find(name: str) -> Path:
        folder = os.environ.get(TEST_DATA)
        if not folder:
            pytest.skip(f"${TEST_DATA} is not set: no {name}")
        path = Path(folder) / name
        if not path.is_file():
            pytest.skip(f"${TEST_DATA} has no {name}")
        return path

    return find


@pytest.fixture(scope="session")
def digit_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with PHOTOS of two digits each, and labels.csv with both as labels; see `two_digits`."""
    return two_digits(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="session")
def labels_run(digit_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of several labels an image, on `digit_pairs`; trained once for all tests."""
    from residua.training.loop import train

    folder = tmp_path_factory.mktemp("labels") / "run"
    train(digit_pairs / "PHOTOS", "cifar_resnet8", out=folder, labels=digit_pairs / "labels.csv", **SHORT)
    return folder


@pytest.fixture(scope="session")
def tensorflow() -> Any:
    """TensorFlow, quiet; imported late, since that takes ten seconds."""
    # Triton, which comes with it, crashes where TensorFlow's libraries were loaded first.
    importlib.import_module("torch._dynamo")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    module = pytest.importorskip("tensorflow", reason="no TensorFlow: pip install 'residua[peers]'")
    module.compat.v1.logging.set_verbosity(module.compat.v1.logging.ERROR)
    return module


@pytest.fixture(scope="session")
def keras(tensorflow: Any) -> ModuleType:
    """Keras on TensorFlow."""
    return pytest.importorskip("keras", reason="no Keras: pip install 'residua[peers]'")
