"""The formats and precisions of an export, its files and its gates: stated here alone, and without torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from residua._base.errors import InputError
from residua.specs.fields import checked

FormatName = Literal["onnx", "openvino", "torch", "web"]
ExportPrecision = Literal["fp32", "bf16", "int8"]
Layout = Literal["plain", "triton", "ovms"]
"""The folders: the files alone, Triton's model repository, OpenVINO Model Server's."""
FILES: dict[FormatName, tuple[str, ...]] = {
    "onnx": ("model.onnx",),
    "openvino": ("model.xml", "model.bin"),
    "torch": ("model.pt2",),
    "web": ("model.onnx",),
}
"""The files of each format's graph; the first is the one to open."""
ONNX: tuple[FormatName, ...] = ("onnx", "web")
"""The formats whose graph is ONNX."""
CERTIFICATE, PAGE, GOLDEN = "certificate.json", "certificate.html", "golden.safetensors"
BATCHES = (1, 2, 7, 32)
"""The batch sizes at which an export is run."""

_PRECISIONS: dict[FormatName, tuple[ExportPrecision, ...]] = {
    "onnx": ("fp32", "int8"),
    "openvino": ("fp32", "bf16", "int8"),
    "torch": ("fp32",),
    "web": ("fp32",),
}


@dataclass(frozen=True)
class Limits:
    """What an export of one precision must hold.

    Attributes:
        agreement: the least share of images with the same top-1 as eager.
        error: the largest difference of two outputs over the largest output of eager; None where none is set.
    """

    agreement: float
    error: float | None


LIMITS: dict[ExportPrecision, Limits] = {"fp32": Limits(1.0, 1e-4), "bf16": Limits(0.995, None)}
"""int8 is held against the loss of accuracy instead."""
MAX_DROP = 0.003
"""The loss of top-1 that int8 may have, a fraction of 1."""
LADDER_SECONDS = 1800.0
"""The time after which no further step to int8 is begun."""


def check_form(format: str, precision: str) -> tuple[FormatName, ExportPrecision]:  # noqa: A002
    """Return a format and a precision that go together.

    Raises:
        InputError: an unknown one, or a precision that the format does not have.
    """
    name: FormatName = checked("format", format, FormatName)
    chosen: ExportPrecision = checked("precision", precision, ExportPrecision)
    if chosen not in _PRECISIONS[name]:
        able = [repr(each) for each, precisions in _PRECISIONS.items() if chosen in precisions]
        raise InputError(
            f"precision={chosen!r} with format={name!r}",
            f"precision={' or '.join(map(repr, _PRECISIONS[name]))} for this format",
            f"Use format={' or '.join(able)}",
        )
    return name, chosen


def model_name(network: str) -> str:
    """Return the name under which a server offers a network: letters, digits, '_', '-' and '.'."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", network).lstrip(".") or "model"


def graph_folder(folder: Path, layout: Layout, network: str) -> Path:
    """Return the folder of an export's graph."""
    return folder if layout == "plain" else folder / model_name(network) / "1"
