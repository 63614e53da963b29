"""TensorFlow and Keras for the tests that ask: imported late, since that takes ten seconds."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import pytest
import torch._dynamo  # noqa: F401  (Triton, which comes with it, crashes where TensorFlow's libraries were loaded first)


@pytest.fixture(scope="session")
def tensorflow() -> Any:
    """TensorFlow, quiet."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    module = pytest.importorskip("tensorflow", reason="no TensorFlow: pip install 'residua[peers]'")
    module.compat.v1.logging.set_verbosity(module.compat.v1.logging.ERROR)
    return module


@pytest.fixture(scope="session")
def keras(tensorflow: Any) -> ModuleType:
    """Keras on TensorFlow."""
    return pytest.importorskip("keras", reason="no Keras: pip install 'residua[peers]'")
