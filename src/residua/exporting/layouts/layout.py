"""Where the files of an export lie, and what a model server wants to find beside them."""

from __future__ import annotations

from pathlib import Path

from residua._base.errors import InputError
from residua._base.words import visible
from residua.exporting.graph_input import GraphForm
from residua.exporting.layouts.ovms import ovms_config
from residua.exporting.layouts.triton import triton_config
from residua.exporting.names import ExportPrecision, FormatName, Layout, model_name
from residua.specs.fields import checked

LABELS = "labels.txt"


def check_layout(layout: str, name: FormatName, precision: ExportPrecision) -> Layout:
    """Return a layout whose server runs such files.

    Raises:
        InputError: an unknown layout, or a server that does not run the format or the precision.
    """
    chosen: Layout = checked("layout", layout, Layout)
    if chosen != "plain" and name not in ("onnx", "openvino"):
        raise InputError(
            f"layout={chosen!r} with format={name!r}",
            "format='onnx' or 'openvino' for this layout",
            "Name one of these formats",
        )
    if chosen == "triton" and precision == "bf16":
        raise InputError(
            "layout='triton' with precision='bf16'",
            "a server whose configuration states the arithmetic: Triton's has no such field",
            "Use layout='ovms', or precision='fp32'",
        )
    return chosen


def write_layout(
    folder: Path,
    layout: Layout,
    *,
    network: str,
    classes: tuple[str, ...],
    name: FormatName,
    precision: ExportPrecision,
    form: GraphForm,
) -> None:
    """Write what a server wants beside the graph: its configuration, and the names of the classes, one per line."""
    if layout == "plain":
        return
    served, model = model_name(network), folder / model_name(network)
    lines = (" ".join(visible(each).splitlines()) for each in classes)
    (model / LABELS).write_text("".join(f"{each}\n" for each in lines), encoding="utf-8")
    if layout == "triton":
        text = triton_config(served, name, form, len(classes), LABELS)
        (model / "config.pbtxt").write_text(text, encoding="utf-8")
    else:
        (folder / "config.json").write_text(ovms_config(served, precision), encoding="utf-8")
