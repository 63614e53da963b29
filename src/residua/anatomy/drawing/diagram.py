"""A unit in detail: its layers from top to bottom, each path in its own lane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from residua.anatomy.anatomy import Layer
from residua.anatomy.drawing.canvas import arrow_head, box, element, number, path, text
from residua.anatomy.drawing.picture import Block
from residua.figures.widths import width_of

_WORDS = {"batch_norm": "BN", "relu": "ReLU", "sigmoid": "sigmoid", "dropout": "dropout", "mean": "global average"}
_WORDS |= {
    "adaptive_avg_pool2d": "global average",
    "softmax": "softmax",
    "pad": "zeros for new channels",
    "lerp": "T · H + (1 − T) · x",
}
_POINTWISE = ("batch_norm", "relu", "dropout", "sigmoid", "softmax", "tanh")
_SIGNS = {"add": "+", "mul": "×", "sub": "−"}
# Sizes of the drawing, pixels.
_GAP, _LANE_GAP = 13, 26
_HEIGHTS = {"box": 25, "pill": 18, "sign": 20, "bar": 20}


@dataclass(eq=False)
class _Node:
    """A box of the diagram; `rank` counts from the top, `lane` from the left, `around` the lanes of its shortcuts."""

    shape: str
    label: str
    style: str = "other"
    parents: list[_Node] = field(default_factory=list)
    rank: int = 0
    lane: int = 0
    around: dict[_Node, int] = field(default_factory=dict)

    @property
    def width(self) -> float:
        if self.shape == "sign":
            return 20
        return max(
            58, (width_of(self.label, 12.5, bold=True) if self.shape == "box" else width_of(self.label, 11)) + 14
        )


def diagram(block: Block, x: float, y: float) -> tuple[str, float, float]:
    """Return a unit's drawing with its upper left corner at (x, y), its width and its height."""
    nodes = _nodes(block)
    _place(nodes)
    lanes = max(_lanes_of(node) for node in nodes) + 1
    widths = [
        max((n.width for n in nodes if n.lane == lane and n.shape != "bar"), default=20.0) for lane in range(lanes)
    ]
    centres, edge = [], x
    for width in widths:
        centres.append(edge + width / 2)
        edge += width + _LANE_GAP
    total = edge - _LANE_GAP - x
    heading = max(width_of(node.label, 11) + 16 for node in (nodes[0], nodes[-1]))
    if heading > total:
        centres = [centre + (heading - total) / 2 for centre in centres]
        total = heading
    tops = _tops(nodes, y)
    parts = [_edge(parent, node, centres, tops) for node in nodes for parent in node.parents]
    parts += [_drawn(node, centres, tops, x, total) for node in nodes]
    return "".join(parts), total, max(tops[n.rank] + _HEIGHTS[n.shape] for n in nodes) - y


def _nodes(block: Block) -> list[_Node]:
    layers = list(block.layers)
    if block.kind == "dense":
        cut = next(i for i, layer in enumerate(layers) if layer.operation == "cat") + 1
        layers = layers[:cut]
    readers: dict[str, int] = {}
    for layer in layers:
        for name in layer.inputs:
            readers[name] = readers.get(name, 0) + 1
    start = _Node("bar", _shape(block.source))
    made: dict[str, _Node] = {}
    nodes = [start]
    for layer in layers:
        parents = list(dict.fromkeys(made.get(name, start) for name in layer.inputs))
        only = parents[0] if len(parents) == 1 else None
        alone = all(readers.get(name) == 1 for name in layer.inputs)
        if layer.operation in _POINTWISE and only and only.shape == "pill" and alone:
            only.label += f" · {_WORDS.get(layer.operation, layer.kind)}"
            made[layer.name] = only
            continue
        node = _node(layer, parents or [start])
        made[layer.name] = node
        nodes.append(node)
    nodes.append(_Node("bar", _shape(layers[-1].output), parents=[made[layers[-1].name]]))
    if nodes[-2].shape == "bar":
        # The concatenation is the end.
        nodes[-2].label += f": {nodes.pop().label}"
    return nodes


def _node(layer: Layer, parents: list[_Node]) -> _Node:
    operation = layer.operation
    if operation == "conv2d":
        kernel, stride = layer.window[:2]
        label = f"{kernel[0]}×{kernel[1]}, {layer.output[0]}"
        label += f" /{max(stride)}" if max(stride) > 1 else ""
        label += f", {layer.groups} groups" if layer.groups > 1 else ""
        return _Node("box", label, "conv", parents)
    if operation == "linear":
        return _Node("box", f"linear, {layer.output[0]}", "linear", parents)
    if operation == "cat":
        return _Node("bar", "concatenate", "other", parents)
    if operation in _SIGNS and len(parents) > 1:
        return _Node("sign", _SIGNS[operation], "op", parents)
    if operation in ("max_pool2d", "avg_pool2d"):
        kernel, stride = layer.window[:2]
        word = "max" if operation == "max_pool2d" else "average"
        step = f" /{stride[0]}" if max(stride) > 1 else ""
        return _Node("box", f"{word} {kernel[0]}×{kernel[1]}{step}", "pool", parents)
    return _Node("pill", _WORDS.get(operation, layer.kind), "other", parents)


def _place(nodes: Sequence[_Node]) -> None:
    """Rank nodes by the longest path from the top; the first child keeps its parent's lane, the others get new ones."""
    taken: set[_Node] = set()
    lanes = 0
    for node in nodes[1:]:
        node.rank = max(parent.rank for parent in node.parents) + 1
        first = node.parents[0]
        if len(node.parents) > 1 or first not in taken:
            node.lane = first.lane
        else:
            lanes += 1
            node.lane = lanes
        taken.update(node.parents[:1])
    for node in nodes:
        for parent in node.parents:
            # A path past other boxes of its lane needs its own lane.
            if any(box.lane == parent.lane and parent.rank < box.rank < node.rank for box in nodes):
                lanes += 1
                node.around[parent] = lanes


def _lanes_of(node: _Node) -> int:
    return max(node.lane, *node.around.values(), 0)


def _tops(nodes: Sequence[_Node], y: float) -> dict[int, float]:
    tops: dict[int, float] = {}
    for rank in range(max(node.rank for node in nodes) + 1):
        tops[rank] = y
        y += max(_HEIGHTS[node.shape] for node in nodes if node.rank == rank) + _GAP
    return tops


def _edge(parent: _Node, node: _Node, centres: Sequence[float], tops: dict[int, float]) -> str:
    n = number
    end = tops[node.rank]
    start = tops[parent.rank] + _HEIGHTS[parent.shape]
    if parent in node.around:
        lane = centres[node.around[parent]]
        style = "way" if parent.shape == "bar" else "flow"
        if node.shape == "bar":
            way = f"M{n(lane)} {n(start)}L{n(lane)} {n(end)}"
            if parent.shape != "bar":
                way = f"M{n(centres[parent.lane])} {n(start + 5)}L{n(lane)} {n(start + 5)}L{n(lane)} {n(end)}"
            return path(way, style)
        middle = end + _HEIGHTS[node.shape] / 2
        begin = f"M{n(lane)} {n(start)}"
        if parent.shape != "bar":
            begin = f"M{n(centres[parent.lane])} {n(start + 5)}L{n(lane - 8)} {n(start + 5)}"
            begin += f"Q{n(lane)} {n(start + 5)} {n(lane)} {n(start + 13)}"
        target = centres[node.lane] + node.width / 2
        corner = f"L{n(lane)} {n(middle - 8)}Q{n(lane)} {n(middle)} {n(lane - 8)} {n(middle)}"
        return path(f"{begin}{corner}L{n(target)} {n(middle)}", style)
    source, target = centres[parent.lane], centres[node.lane]
    if parent.shape == "bar":
        source = target
    if node.shape == "bar":
        target = source
    if source == target:
        return path(f"M{n(source)} {n(start)}L{n(target)} {n(end - 1)}", "flow") + arrow_head(
            target, end, downward=True
        )
    if node.shape == "sign":
        middle = end + _HEIGHTS["sign"] / 2
        side = target + (10 if source > target else -10)
        return path(f"M{n(source)} {n(start)}L{n(source)} {n(middle)}L{n(side)} {n(middle)}", "flow")
    bend = start + 5
    return path(
        f"M{n(source)} {n(start)}L{n(source)} {n(bend)}L{n(target)} {n(bend)}L{n(target)} {n(end - 1)}", "flow"
    ) + arrow_head(target, end, downward=True)


def _drawn(node: _Node, centres: Sequence[float], tops: dict[int, float], x: float, total: float) -> str:
    top, height = tops[node.rank], _HEIGHTS[node.shape]
    centre = centres[node.lane]
    if node.shape == "bar":
        label = text(x + total / 2, top + 14, node.label, "pill middle")
        return box(x, top, total, height, "other", 4) + label
    if node.shape == "sign":
        circle = element("circle", cx=float(centre), cy=float(top + 10), r=10.0, cls="op")
        return circle + text(centre, top + 15, node.label, "strong middle")
    left = centre - node.width / 2
    if node.shape == "pill":
        return box(left, top, node.width, height, "other", 9) + text(centre, top + 13, node.label, "pill middle")
    return box(left, top, node.width, height, node.style, 4) + text(centre, top + 17, node.label, "box middle")


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
