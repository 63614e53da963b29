"""The table of a well-known lecture: "CNN architectures", EECS 498, University of Michigan, for AlexNet and others.

Its columns are input and output channels and side, filters, kernel, stride and padding. Then come memory of the output
in KB (1,024 bytes, four per value), parameters in thousands, and millions of "flop". A flop is a multiply-accumulate
there; a pool's are the values under its windows. Activations, normalisation and dropout have no rows: their weights are
counted with the layer before. Numbers here are exact; where the lecture prints a different one, the row states so, and
why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from residua.anatomy.anatomy import Anatomy, Layer
from residua.anatomy.extent import layers_until

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


def lecture_table(anatomy: Anatomy, until: str | int | None = None) -> list[LectureRow]:
    """Return the lecture's rows for any network: convolutions, pools, linear layers, and where branches join.

    Weights that the pass does not use, as those of auxiliary heads, have the last row, "not run".

    Args:
        until: the row to end with, or what `layers_until` takes; None for the whole network.

    Raises:
        InputError: the network has no such layer and no such resolution.
    """
    rows = list(_rows(anatomy, anatomy.layers))
    if until is None:
        return rows
    names = [row.layer for row in rows]
    if str(until) in names:
        return rows[: names.index(str(until)) + 1]
    return list(_rows(anatomy, layers_until(anatomy, until)))


def lecture_notes(anatomy: Anatomy) -> Iterator[str]:
    """Yield what to say of the lecture's totals, and of its subtotals down to 28×28."""
    key = (anatomy.name, anatomy.input_shape)
    for notes in (_TOTALS, _SUBTOTALS):
        if key in notes:
            yield notes[key]


def _rows(anatomy: Anatomy, layers: Sequence[Layer]) -> list[LectureRow]:
    notes = _NOTES.get((anatomy.name, anatomy.input_shape), {})
    rows: list[LectureRow] = []
    shapes: dict[str, tuple[int, ...]] = {"image": anatomy.input_shape}
    numbers: dict[str, int] = {}
    for layer in layers:
        if not layer.runs:
            continue
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
    idle = [layer for layer in layers if not layer.runs]
    if idle:
        parts = ", ".join(dict.fromkeys(layer.name.partition(".")[0] for layer in idle))
        params = sum(layer.params for layer in idle)
        rows.append(replace(_IDLE, params_k=params / 1000, note=f"{parts}: weights that this pass does not use"))
    return rows


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


_IDLE = LectureRow(
    "not run",
    input_channels=0,
    input_size=None,
    filters=None,
    kernel=None,
    stride=None,
    padding=None,
    output_channels=0,
    output_size=None,
    memory_kb=0.0,
    params_k=0.0,
    mflop=0.0,
)
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

_SUBTOTALS: dict[_Key, str] = {
    ("googlenet", (3, 224, 224)): (
        "GoogLeNet down to 28×28, its stem, has 7,644 KB, 124 k parameters and 481 MFLOP. The lecture prints 7.5 MB, "
        "124 K and 418 MFLOP: 418 is 481 with two digits swapped, since its own rows add up to 481."
    ),
    ("vgg16", (3, 224, 224)): (
        "VGG-16 down to 28×28 has 45.9 MB, 1.74 M parameters and 9,335 MFLOP without the pools, 51.3 MB and 9,341 "
        "MFLOP with them. The lecture prints 42.9 MB, 1.1 M and 7,485 MFLOP: it leaves out the pools, and one of the "
        "three convolutions of 256 maps."
    ),
}
