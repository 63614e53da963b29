"""A network as a column: its layers from top to bottom, and the shortcuts around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from residua._base.words import counted
from residua.anatomy.anatomy import Anatomy, Layer
from residua.anatomy.drawing.picture import Block, Kind, Run, Shortcut, sections, ways_into

# Above this many boxes, runs of equal blocks show their first and their last.
_MOST_STEPS = 64


@dataclass(frozen=True)
class Step:
    """A box of a column.

    Attributes:
        label: on it.
        kind: of its block; "" for a remark on blocks that are left out.
        side: of its output, pixels; 1 without positions.
        title: the name and the shape of what it stands for.
    """

    label: str
    kind: Kind | None
    side: int
    title: str = ""


@dataclass(frozen=True)
class Way:
    """A shortcut around the steps from `first` to `last`, counted from 0."""

    first: int
    last: int
    kind: Shortcut


@dataclass(frozen=True)
class Column:
    """A network as steps, with its shortcuts; `params` and `macs` are those of what is drawn."""

    anatomy: Anatomy
    steps: tuple[Step, ...]
    ways: tuple[Way, ...]
    params: int
    macs: int


def column(anatomy: Anatomy) -> Column:
    """Return the column of a network; side heads are not in it."""
    trunk = sections(anatomy)
    runs = [run for section in trunk for run in section.runs]
    shorten = sum(run.count * len(_steps(run.block)) for run in runs) > _MOST_STEPS
    steps: list[Step] = []
    ways: list[Way] = []
    for run in runs:
        for block in _shown(run, shorten):
            if isinstance(block, Step):
                steps.append(block)
                continue
            first = len(steps)
            steps += _steps(block)
            if block.shortcut:
                ways.append(Way(first, len(steps) - 1, block.shortcut))
    params, macs = sum(section.params for section in trunk), sum(section.macs for section in trunk)
    return Column(anatomy, tuple(steps), tuple(ways), params, macs)


def _shown(run: Run, shorten: bool) -> Iterator[Block | Step]:
    if not shorten or run.count <= 3:
        yield from [run.block] * run.count
        return
    yield run.block
    yield Step(f"{run.count - 2} more of these", None, max(run.block.side, 1))
    yield run.block


def _steps(block: Block) -> list[Step]:
    """Return the boxes of a block: its convolutions one by one, and one box for what has branches."""
    operations = [layer.operation for layer in block.layers]
    cats = [layer for layer in block.layers if layer.operation == "cat"]
    shape = "×".join(map(str, block.layers[-1].output))
    whole = f"{block.name}: {shape}"
    side = max(block.side, 1)
    if block.kind == "dense":
        return [Step(f"dense block of {counted(block.members, 'layer')}, {block.channels}", "dense", side, whole)]
    if block.kind == "gated":
        return [Step(f"highway layer, {block.channels}", "gated", side, whole)]
    if cats:
        word = "residual module" if block.kind == "residual" else "module"
        return [Step(f"{word} of {len(cats[-1].inputs)} branches, {block.channels}", block.kind, side, whole)]
    if block.kind == "norm":
        return [Step("BN · ReLU", "norm", side, whole)]
    if block.kind in ("pool", "linear"):
        return [_step(layer, block.kind) for layer in block.layers if layer.window or layer.operation == "linear"] or [
            Step("global average pool", "pool", side, whole)
        ]
    layers = list(block.layers)
    if block.shortcut:
        add = next(layer for layer in reversed(layers) if layer.operation == "add" and len(layer.inputs) > 1)
        layers = ways_into(add, layers)[-1][::-1]
    steps = [_step(layer, block.kind) for layer in layers if layer.operation == "conv2d"]
    if "sigmoid" in operations and "mul" in operations:
        steps.append(Step("squeeze-and-excitation", block.kind, side, whole))
    return steps


def _step(layer: Layer, kind: Kind) -> Step:
    """Return a layer's box in the words of He 2015, figure 3: "3×3 conv, 128, /2"."""
    shape = "×".join(map(str, layer.output))
    title = f"{layer.name}: {shape}"
    if layer.operation == "linear":
        return Step(f"linear, {layer.output[0]}", kind, 1, title)
    kernel, stride = layer.window[:2]
    words = {"conv2d": "conv", "max_pool2d": "max pool"}.get(layer.operation, "average pool")
    label = f"{kernel[0]}×{kernel[1]} {words}"
    label += f", {layer.output[0]}" if layer.operation == "conv2d" else ""
    label += f", /{max(stride)}" if max(stride) > 1 else ""
    label += f", {layer.groups} groups" if layer.groups > 1 else ""
    return Step(label, kind, max(layer.output[1] if len(layer.output) == 3 else 1, 1), title)
