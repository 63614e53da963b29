"""What a picture shows of an anatomy: blocks, runs of equal blocks, sections of one resolution."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from residua.anatomy.anatomy import Anatomy, Layer

Kind = Literal["conv", "residual", "plain", "gated", "inception", "dense", "pool", "linear"]
Shortcut = Literal["", "identity", "projection", "padding", "pool"]

_WEIGHTED = ("conv2d", "linear")
_POOLS = ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "mean")
# Resolutions this close form one section: convolutions without padding remove a pixel or two.
_NEAR = 0.85
# Runs of equal blocks beyond this are shortened.
_SHOWN = 6


@dataclass(frozen=True)
class Block:
    """An end point of the network, drawn as one block.

    Attributes:
        name: of the end point.
        kind: of its operations.
        shortcut: the path around it; "" for none.
        layers: its layers.
        source: the shape of its input.
        channels: of its output.
        side: of its output, pixels; 0 without positions.
        members: layers of a dense block.
    """

    name: str
    kind: Kind
    shortcut: Shortcut
    layers: tuple[Layer, ...]
    source: tuple[int, ...]
    channels: int
    side: int
    members: int = 1

    @property
    def structure(self) -> tuple[object, ...]:
        """Equal for two blocks of the same operations, whatever their widths."""
        return (self.kind, self.shortcut, *((layer.operation, layer.window, layer.groups > 1) for layer in self.layers))

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal for two equal blocks."""
        return (*self.structure, *(layer.output for layer in self.layers))


@dataclass(frozen=True)
class Run:
    """Equal blocks in a row: `count` of them, of which `shown` are drawn."""

    block: Block
    count: int
    shown: int


@dataclass(frozen=True)
class Section:
    """Blocks of one resolution, or the classifier.

    Attributes:
        runs: in order.
        sides: resolutions that occur, the first one first; empty for the classifier.
        params, macs: sums over its layers.
        field: side of the receptive field at its end, pixels; 0 for the whole image.
    """

    runs: tuple[Run, ...]
    sides: tuple[int, ...]
    params: int
    macs: int
    field: int

    @property
    def blocks(self) -> list[Block]:
        """One block per run."""
        return [run.block for run in self.runs]


def sections(anatomy: Anatomy) -> list[Section]:
    """Return the sections of the picture from left to right."""
    found: list[Section] = []
    for blocks, rest in _by_resolution(_blocks(anatomy)):
        layers = [layer for block in blocks for layer in block.layers] + rest
        sides = tuple(dict.fromkeys(block.side for block in blocks if block.side > 1))
        last = next((layer for layer in reversed(layers) if layer.output), None)
        field = max(last.receptive_field) if last and last.receptive_field else 0
        params, macs = (sum(getattr(layer, key) for layer in layers) for key in ("params", "macs"))
        found.append(Section(tuple(_runs(blocks)), sides, params, macs, field))
    return found


def _blocks(anatomy: Anatomy) -> list[tuple[Block | None, list[Layer]]]:
    """Return each end point as a block, or its layers where there is nothing to draw."""
    rows: list[tuple[Block | None, list[Layer]]] = []
    shapes: dict[str, tuple[int, ...]] = {"image": anatomy.input_shape}
    shapes |= {layer.name: layer.output for layer in anatomy.layers}
    ran = (layer for layer in anatomy.layers if layer.runs and layer.operation != "flatten")
    for part, group in itertools.groupby(ran, key=lambda layer: layer.part):
        layers = list(group)
        for piece in _pieces(layers):
            rows.append((_block(part, piece, shapes), piece))
    return rows


def _pieces(layers: list[Layer]) -> list[list[Layer]]:
    """Split an end point: a pool or a linear layer inside it is its own block; branches stay together."""
    operations = [layer.operation for layer in layers]
    if operations.count("add") > 1:
        return _numbered(layers)
    if any(operation in ("add", "cat", "mul", "sub", "lerp") for operation in operations):
        return [layers]
    pieces: list[list[Layer]] = [[]]
    for layer in layers:
        cut = layer.operation in (*_POOLS, "linear")
        after = bool(pieces[-1]) and pieces[-1][-1].operation in _POOLS
        if pieces[-1] and (cut or (after and layer.operation in _WEIGHTED)):
            pieces.append([])
        pieces[-1].append(layer)
    return pieces


def _numbered(layers: list[Layer]) -> list[list[Layer]]:
    """Return the units of an end point, separated by the number behind their common name: repeat.0, repeat.1."""
    words = [layer.name.split(".") for layer in layers]
    common = sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False)))
    if not all(len(word) > common and word[common].isdigit() for word in words):
        return [layers]
    pairs = itertools.groupby(zip(words, layers, strict=True), key=lambda pair: pair[0][common])
    return [[layer for _, layer in group] for _, group in pairs]


def _block(part: str, layers: list[Layer], shapes: dict[str, tuple[int, ...]]) -> Block | None:
    operations = [layer.operation for layer in layers]
    convs = operations.count("conv2d")
    own = {layer.name for layer in layers}
    cats = [layer for layer in layers if layer.operation == "cat"]
    adds = [layer for layer in layers if layer.operation == "add" and len(layer.inputs) > 1]
    shortcut: Shortcut = ""
    members = 1
    kind: Kind
    if not adds and len(cats) > 2 and all(len(cat.inputs) == 2 for cat in cats):
        kind, members = "dense", len(cats)
    elif "lerp" in operations or (adds and "sub" in operations):
        kind = "gated"
    elif adds:
        kind, shortcut = "residual", _shortcut(adds[-1], layers)
    elif cats and (convs > 1 or any(op in _POOLS for op in operations)):
        kind = "inception"
    elif convs:
        kind = "plain" if convs > 1 else "conv"
    elif any(op in _POOLS for op in operations):
        kind = "pool"
    elif "linear" in operations:
        kind = "linear"
    else:
        return None
    before = next((shapes[name] for layer in layers for name in layer.inputs if name not in own), ())
    output = layers[-1].output
    if kind == "pool" and all(layer.output == before for layer in layers if layer.operation in _POOLS):
        # An adaptive pool to the size that its input already has.
        return None
    side = output[1] if len(output) == 3 else 0
    return Block(part, kind, shortcut, tuple(layers), tuple(before), output[0], side, members)


def _shortcut(add: Layer, layers: Sequence[Layer]) -> Shortcut:
    """Return the kind of the path into the addition that has the fewest convolutions."""
    known = {layer.name: layer for layer in layers}

    def way(name: str) -> list[str]:
        path = []
        while name in known:
            path.append(known[name].operation)
            name = known[name].inputs[0] if known[name].inputs else ""
        return path

    path = min((way(name) for name in add.inputs), key=lambda ops: (ops.count("conv2d"), len(ops)))
    if "conv2d" in path:
        return "projection"
    if "pad" in path:
        return "padding"
    return "pool" if any(op in _POOLS for op in path) else "identity"


def _by_resolution(rows: list[tuple[Block | None, list[Layer]]]) -> list[tuple[list[Block], list[Layer]]]:
    """Group successive blocks of about one resolution; layers that are not drawn join the block before."""
    found: list[tuple[list[Block], list[Layer]]] = []
    for block, layers in rows:
        if block is None:
            if found:
                found[-1][1].extend(layers)
            continue
        first = found[-1][0][0].side if found else -1
        flat = block.side <= 1
        same = found and (flat if first <= 1 else not flat and _NEAR <= block.side / first <= 1 / _NEAR)
        if not same:
            found.append(([], []))
        found[-1][0].append(block)
    return found


def _runs(blocks: Sequence[Block]) -> list[Run]:
    runs = []
    for _, group in itertools.groupby(blocks, key=lambda block: block.signature):
        equal = list(group)
        count = len(equal)
        runs.append(Run(equal[0], count, count if count <= _SHOWN else 3))
    return runs
