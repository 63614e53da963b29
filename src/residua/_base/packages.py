"""Packages of the extras, imported when they are needed."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from typing import Any

from residua._base.errors import InputError


def package(name: str, extra: str) -> Any:
    """Return a package that an extra of Residua installs; OpenVINO and NNCF are imported without their telemetry.

    Args:
        name: of the module, such as "onnxruntime".
        extra: of Residua, such as "onnx", "ray" or "shards".

    Raises:
        InputError: it is not installed; names the command that installs it.
    """
    try:
        with _without_telemetry():
            return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"{name}, which cannot be imported ({error})",
            f"the packages of the extra {extra!r}",
            f"Install them: pip install 'residua[{extra}]'",
        ) from error


@contextlib.contextmanager
def _without_telemetry() -> Iterator[None]:
    """Keep `openvino_telemetry` from being imported, which reports each import to Intel unless its user opted out.

    OpenVINO and NNCF then take their own stubs. A module that is imported already stays.
    """
    name = "openvino_telemetry"
    hidden = name not in sys.modules
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules[name]
