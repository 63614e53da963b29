"""OpenVINO's core, one per process."""

from __future__ import annotations

import functools
from typing import Any

from residua._base.errors import InputError
from residua._base.packages import package


def openvino_core(precision: str = "fp32") -> Any:
    """Return OpenVINO's core, after checking that it computes in `precision` here.

    Args:
        precision: "fp32", "bf16" or "int8".

    Raises:
        InputError: the extra `openvino` is not installed; bf16 on a processor without it.
    """
    core = _core(package("openvino", "openvino"))
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise InputError(
            "precision='bf16' for OpenVINO, which this processor has no instructions for",
            "precision='fp32' on this machine: OpenVINO would compute in it and not state so",
            "Leave out precision=…",
        )
    return core


@functools.cache
def _core(openvino: Any) -> Any:
    # Each core's CPU plugin lends the thread that opens it a stack for signals, and frees it with the core. Where lives
    # of cores overlap, or another thread ends one, the next signal finds a stack that is gone: the process crashes.
    return openvino.Core()
