"""What a picture shows of an anatomy: blocks, runs of equal blocks, sections of one resolution."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from residua.anatomy.anatomy import Anatomy, Layer
from residua.anatomy.extent import trunk
from residua.families.end_points import stage_of

Kind = Literal["conv", "residual", "plain", "gated", "inception", "dense", "pool", "linear", "norm"]
Shortcut = Literal["", "identity", "projection", "padding", "pool"]

_WEIGHTED = ("conv2d", "linear")
_POOLS = ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "mean")
# Resolutions this close form one section: convolutions without padding remove a pixel or two.
_NEAR = 0.85
# TF-slim's blocks stride in their last unit: a block is not of one resolution.
_OWN_STAGES = "/block"
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
    """Equal blocks in a row, of which `shown` are drawn. `block` is the first, `names` are those of all."""

    block: Block
    names: tuple[str, ...]
    shown: int

    @property
    def count(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Section:
    """Blocks of one resolution, or the classifier.

    Attributes:
        runs: in order.
        sides: resolutions that occur, the first one first; empty for the classifier.
        params, macs: sums over its layers.
        field: side of the receptive field at its end, pixels; 0 for the whole image.
        name: of the stage, where the network's own stages are not those of one resolution; else "".
    """

    runs: tuple[Run, ...]
    sides: tuple[int, ...]
    params: int
    macs: int
    field: int
    name: str = ""

    @property
    def blocks(self) -> list[Block]:
        """One block per run."""
        return [run.block for run in self.runs]


@dataclass(frozen=True)
class Head:
    """A side head: blocks that branch off the block `source` and do not lead to the logits."""

    name: str
    source: str
    blocks: tuple[Block, ...]
    params: int
    macs: int


def sections(anatomy: Anatomy) -> list[Section]:
    """Return the sections of the picture from left to right; side heads are not among them."""
    body: list[Section] = []
    leading = trunk(anatomy.layers)
    rows = _blocks(anatomy, [layer for layer in anatomy.layers if layer.name in leading])
    by_stage = any(block and _OWN_STAGES in block.name for block, _ in rows)
    for name, blocks, rest in _by_stage(rows) if by_stage else _by_resolution(rows):
        layers = [layer for block in blocks for layer in block.layers] + rest
        sides = tuple(dict.fromkeys(block.side for block in blocks if block.side > 1))
        last = next((layer for layer in reversed(layers) if layer.output), None)
        field = max(last.receptive_field) if last and last.receptive_field else 0
        params, macs = (sum(getattr(layer, key) for layer in layers) for key in ("params", "macs"))
        body.append(Section(tuple(_runs(blocks)), sides, params, macs, field, name))
    return body


def side_heads(anatomy: Anatomy) -> list[Head]:
    """Return the side heads that run, in the order in which they branch off."""
    leading = trunk(anatomy.layers)
    parts = {layer.name: layer.part for layer in anatomy.layers}
    rest = [layer for layer in anatomy.layers if layer.runs and layer.name not in leading]
    heads = []
    for name, group in itertools.groupby(rest, key=lambda layer: layer.part):
        layers = list(group)
        source = next((parts[read] for layer in layers for read in layer.inputs if read in leading), "")
        blocks = tuple(block for block, _ in _blocks(anatomy, layers) if block)
        params, macs = (sum(getattr(layer, key) for layer in layers) for key in ("params", "macs"))
        heads.append(Head(name, source, blocks, params, macs))
    return heads


def _blocks(anatomy: Anatomy, layers: Sequence[Layer]) -> list[tuple[Block | None, list[Layer]]]:
    """Return each end point as a block, or its layers where there is nothing to draw."""
    rows: list[tuple[Block | None, list[Layer]]] = []
    shapes: dict[str, tuple[int, ...]] = {"image": anatomy.input_shape}
    shapes |= {layer.name: layer.output for layer in anatomy.layers}
    drawn = (layer for layer in layers if layer.operation != "flatten")
    for part, group in itertools.groupby(drawn, key=lambda layer: layer.part):
        for piece in _pieces(list(group)):
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
    elif "lerp" in operations or (adds and ("sub" in operations or _two_gates(adds[-1], layers))):
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
    elif "batch_norm" in operations and len(layers[-1].output) == 3:
        kind = "norm"
    else:
        return None
    before = next((shapes[name] for layer in layers for name in layer.inputs if name not in own), ())
    output = layers[-1].output
    if kind == "pool" and all(layer.output == before for layer in layers if layer.operation in _POOLS):
        # An adaptive pool to the size that its input already has.
        return None
    side = output[1] if len(output) == 3 else 0
    return Block(part, kind, shortcut, tuple(layers), tuple(before), output[0], side, members)


def _two_gates(add: Layer, layers: Sequence[Layer]) -> bool:
    """Return whether all that an addition reads is multiplied by a gate: T · H + C · x."""
    known = {layer.name: layer for layer in layers}
    read = [known[name] for name in add.inputs if name in known]
    return len(read) == len(add.inputs) and all(layer.operation == "mul" and len(layer.inputs) > 1 for layer in read)


def _shortcut(add: Layer, layers: Sequence[Layer]) -> Shortcut:
    """Return the kind of the path into the addition that has the fewest convolutions."""
    path = [layer.operation for layer in ways_into(add, layers)[0]]
    if "conv2d" in path:
        return "projection"
    if "pad" in path:
        return "padding"
    return "pool" if any(op in _POOLS for op in path) else "identity"


def ways_into(join: Layer, layers: Sequence[Layer]) -> list[list[Layer]]:
    """Return the paths of a block into an addition, from its end to its start; the shortcut is the first.

    Where a layer of a path reads several others, as the scaling of squeeze-and-excitation does, the first one counts.
    """
    known = {layer.name: layer for layer in layers}

    def way(name: str) -> list[Layer]:
        path = []
        while name in known:
            path.append(known[name])
            name = known[name].inputs[0] if known[name].inputs else ""
        return path

    paths = [way(name) for name in join.inputs]
    return sorted(paths, key=lambda path: ([layer.operation for layer in path].count("conv2d"), len(path)))


_Named = tuple[str, list[Block], list[Layer]]


def _by_resolution(rows: list[tuple[Block | None, list[Layer]]]) -> list[_Named]:
    """Group successive blocks of about one resolution; layers that are not drawn join the block before."""
    named: list[_Named] = []
    for block, layers in rows:
        if block is None:
            if named:
                named[-1][2].extend(layers)
            continue
        first = named[-1][1][0].side if named else -1
        flat = block.side <= 1
        same = named and (flat if first <= 1 else not flat and _NEAR <= block.side / first <= 1 / _NEAR)
        if not same:
            named.append(("", [], []))
        named[-1][1].append(block)
    return named


def _by_stage(rows: list[tuple[Block | None, list[Layer]]]) -> list[_Named]:
    """Group blocks by the network's own stages: what is before the first is the root, what is flat the classifier."""
    named: list[_Named] = []
    for block, layers in rows:
        if block is None:
            if named:
                named[-1][2].extend(layers)
            continue
        name = named[-1][0] if named else "root"
        if block.side <= 1:
            name = ""
        elif _OWN_STAGES in block.name:
            name = stage_of(block.name).rpartition("/")[2]
        if not named or name != named[-1][0]:
            named.append((name, [], []))
        named[-1][1].append(block)
    return named


def _runs(blocks: Sequence[Block]) -> list[Run]:
    runs = []
    for _, group in itertools.groupby(blocks, key=lambda block: block.signature):
        equal = list(group)
        names = tuple(block.name for block in equal)
        runs.append(Run(equal[0], names, len(names) if len(names) <= _SHOWN else 3))
    return runs
