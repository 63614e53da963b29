"""What all tests share: where the reference facts and the real images stand, when they do."""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the decoded images of a test out of the user's cache."""
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference facts and data beside the project; the test is skipped where there is none."""
    if not SHARED.is_dir():
        pytest.skip(f"no reference folder at {SHARED}")
    return SHARED


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
