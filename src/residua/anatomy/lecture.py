"""The table of a well-known lecture: "CNN architectures", EECS 498, University of Michigan, for AlexNet and others.

Its columns: input and output channels and side, filters, kernel, stride, padding; memory of the output in KB (1,024
bytes, four a value), parameters in thousands, and millions of "flop", which there are multiply-accumulates; a pool's
are the values under its windows. Activations, normalisation and dropout have no rows: their weights are counted with
the layer before. Numbers here are exact; where the lecture prints a different one, the row states so, and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from residua.anatomy.anatomy import Anatomy, Layer

_POOLS = ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "mean")
_JOINS = ("cat", "add")


@dataclass(frozen=True)
class LectureRow:
    """A row. Sides and windows are (height, width); kernel, stride and padding are None where nothing slides.

    Attributes:
        memory_kb: of the output, 1,024 bytes each.
        params_k: thousands.
        mflop: millions of multiply-accumulates, or of values under a pool's windows.
        note: what the lecture prints instead, and why.
    """

    layer: str
    input_channels: int
    input_size: tuple[int, int] | None
    filters: int | None
    kernel: tuple[int, int] | None
    stride: tuple[int, int] | None
    padding: tuple[int, int] | None
    output_channels: int
    output_size: tuple[int, int] | None
    memory_kb: float
    params_k: float
    mflop: float
    note: str = ""


def lecture_table(anatomy: Anatomy) -> list[LectureRow]:
    """Return the lecture's rows for any network: convolutions, pools, linear layers, and where branches join."""
    notes = _NOTES.get((anatomy.name, anatomy.input_shape), {})
    rows: list[LectureRow] = []
    shapes: dict[str, tuple[int, ...]] = {"image": anatomy.input_shape}
    numbers: dict[str, int] = {}
    for layer in anatomy.layers:
        shapes[layer.name] = layer.output
        source = shapes[layer.inputs[0]] if layer.inputs else ()
        if not _has_row(layer, source):
            if layer.params and rows:
                rows[-1] = replace(rows[-1], params_k=rows[-1].params_k + layer.params / 1000)
            continue
        numbers[layer.part] = numbers.get(layer.part, 0) + 1
        number = numbers[layer.part]
        name = layer.part if number == 1 else f"{layer.part} ({number})"
        rows.append(_row(layer, source, name, notes.get(name, "")))
    return rows


def lecture_notes(anatomy: Anatomy) -> Iterator[str]:
    """Yield what to say of the lecture's totals."""
    totals = _TOTALS.get((anatomy.name, anatomy.input_shape))
    if totals:
        yield totals


def _has_row(layer: Layer, source: tuple[int, ...]) -> bool:
    if layer.operation in _POOLS:
        # An adaptive pool to the size that is there already changes nothing.
        return layer.output != source
    return layer.operation in ("conv2d", "linear", *_JOINS)


def _row(layer: Layer, source: tuple[int, ...], name: str, note: str) -> LectureRow:
    kernel, stride, padding = layer.window or (None, None, None)
    weighted = layer.operation in ("conv2d", "linear")
    values = 1
    for side in layer.output:
        values *= side
    return LectureRow(
        name,
        input_channels=_channels(source, weighted and layer.operation == "linear"),
        input_size=_size(source) if layer.operation != "linear" else None,
        filters=layer.output[0] if weighted else None,
        kernel=kernel,
        stride=stride,
        padding=padding,
        output_channels=layer.output[0],
        output_size=_size(layer.output),
        memory_kb=4 * values / 1024,
        params_k=layer.params / 1000,
        mflop=(layer.macs if weighted else layer.elementwise_flops) / 1e6,
        note=note,
    )


def _channels(source: tuple[int, ...], flattened: bool) -> int:
    values = 1
    for side in source if flattened else source[:1]:
        values *= side
    return values


def _size(shape: tuple[int, ...]) -> tuple[int, int] | None:
    return (shape[1], shape[2]) if len(shape) == 3 else None


_Key = tuple[str, tuple[int, int, int]]
_NO_BIAS = "the lecture prints {}, its weights without the biases (it counts those of convolutions)"

_NOTES: dict[_Key, dict[str, str]] = {
    ("alexnet", (3, 227, 227)): {
        "conv4": "the lecture prints 145 MFLOP; 256 · 13 · 13 · 384 · 3 · 3 is 149.5 million",
        "fc6": _NO_BIAS.format("37,749"),
        "fc7": _NO_BIAS.format("16,777"),
        "logits": _NO_BIAS.format("4,096") + "; it calls this layer fc8",
    },
}

_TOTALS: dict[_Key, str] = {
    ("alexnet", (3, 227, 227)): (
        "The lecture's totals for AlexNet, 1.9 MB, 61 M parameters and 0.7 GFLOP, leave the pools' memory out."
    ),
    ("vgg16", (3, 224, 224)): (
        "The lecture's totals for VGG-16, about 48.5 MB and 13.6 GFLOP, leave the pools' memory out, and one of the "
        "three convolutions of 256 maps of 56×56 (3.1 MB, 1.85 GFLOP): without it the convolutions' outputs take 48.6 "
        "MB, and all layers 13.62 GFLOP. With it they are 51.7 MB and 15.47 GFLOP; the pools add 5.8 MB."
    ),
}
