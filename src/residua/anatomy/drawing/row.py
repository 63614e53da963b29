"""The network from left to right: the image, sections of one resolution, their blocks and captions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from residua._base.words import agree
from residua.anatomy.anatomy import Anatomy
from residua.anatomy.drawing.canvas import arrow_head, box, element, number, path, short, text
from residua.anatomy.drawing.picture import Block, Kind, Run, Section
from residua.figures.widths import width_of

# Sizes of the drawing, pixels.
WIDTH, MARGIN = 1400.0, 48.0
NAMES: dict[Kind, tuple[str, str]] = {
    "conv": ("convolution", "convolutions"),
    "residual": ("residual unit", "residual units"),
    "plain": ("plain unit", "plain units"),
    "gated": ("highway unit", "highway units"),
    "inception": ("module of branches", "modules"),
    "dense": ("dense block", "dense blocks"),
    "pool": ("pool", "pools"),
    "linear": ("linear layer", "linear layers"),
    "norm": ("normalisation and activation", "normalisations"),
}
SHORTCUTS = {
    "identity": "identity shortcut",
    "projection": "projection shortcut",
    "padding": "identity, new channels zero",
    "pool": "strided identity",
}
# Sizes of the drawing, pixels.
_TALLEST, _LOWEST = 210.0, 44.0
_BLOCK_GAP, _SECTION_GAP = 8.0, 30.0
_LEAST, _STRETCH = 0.5, 2.3


@dataclass(frozen=True)
class _Scale:
    """The sizes of blocks: height by the logarithm of the resolution, width by that of the channels."""

    smallest: int
    largest: int
    stretch: float = 1.0

    def height(self, block: Block) -> float:
        if block.kind == "pool" and block.side <= 1:
            return _LOWEST
        if block.side <= 1:
            return 46 + 11 * math.log2(max(block.channels, 2))
        span = math.log(max(self.largest / self.smallest, 2))
        return _LOWEST + (_TALLEST - _LOWEST) * math.log(max(block.side, self.smallest) / self.smallest) / span

    def width(self, block: Block) -> float:
        if block.kind == "linear" or (block.kind == "conv" and block.side == 1):
            return 8 + 4 * self.stretch
        if block.kind in ("pool", "norm"):
            return 6 + 3 * self.stretch
        factor = {"inception": 1.15, "dense": 2.2}.get(block.kind, 1.0)
        return (7 + 4 * math.log2(max(block.channels / 8, 1))) * factor * self.stretch

    def run(self, run: Run) -> float:
        gaps = run.shown - 1 + (2.4 if run.count > run.shown else 0)
        return run.shown * self.width(run.block) + gaps * _BLOCK_GAP

    def section(self, section: Section) -> float:
        blocks = sum(self.run(run) for run in section.runs) + _BLOCK_GAP * (len(section.runs) - 1)
        return max(blocks, _caption_width(section))


@dataclass
class Row:
    """The network from left to right, as SVG.

    Attributes:
        width: of the whole picture, which grows where captions need it.
        bottom: the lowest line that the row takes.
        places: end point -> (horizontal centre, top) of its block.
    """

    width: float
    bottom: float
    parts: list[str] = field(default_factory=list)
    places: dict[str, tuple[float, float]] = field(default_factory=dict)


def draw_row(anatomy: Anatomy, trunk: Sequence[Section], top: float) -> Row:
    """Draw image and sections, the first block at `top` or below."""
    sides = [block.side for section in trunk for block in section.blocks if block.side > 1] or [1]
    largest = max(*anatomy.input_shape[1:], *sides)
    image = 42.0
    scale = _Scale(min(sides), largest, _LEAST)
    around = 2 * MARGIN + image + _SECTION_GAP * len(trunk)
    width = max(WIDTH, around + sum(scale.section(section) for section in trunk))
    room = width - around
    # The width of captions does not scale with the blocks: a few steps find the stretch that fills the row.
    for _ in range(16):
        stretched = _Scale(scale.smallest, largest, min(_STRETCH, scale.stretch * 1.25))
        if sum(stretched.section(section) for section in trunk) > room:
            break
        scale = stretched
    used = sum(scale.section(section) for section in trunk)
    gap = _SECTION_GAP + max(0.0, min(80.0, (room - used) / len(trunk)))
    middle = top + _TALLEST / 2 + 12
    row = Row(width, middle + _TALLEST / 2 + 136)
    x = MARGIN + max(0.0, (room - used - (gap - _SECTION_GAP) * len(trunk)) / 2)
    row.parts.append(_image(anatomy, x, middle, scale))
    x += image
    for section in trunk:
        row.parts.append(_flow(x + 3, x + gap - 5, middle))
        x += gap
        x += _section(row, anatomy, section, x, middle, scale)
    return row


def _flow(start: float, end: float, y: float) -> str:
    return path(f"M{number(start)} {number(y)}L{number(end - 4)} {number(y)}", "flow") + arrow_head(end, y)


def _image(anatomy: Anatomy, x: float, middle: float, scale: _Scale) -> str:
    height = _TALLEST if max(anatomy.input_shape[1:]) == scale.largest else _LOWEST
    label = "×".join(map(str, anatomy.input_shape[1:]))
    base = middle + _TALLEST / 2 + 24
    x += 8
    return (
        box(x, middle - height / 2, 26, height, "other", 3)
        + text(x + 13, base, label, "head middle")
        + text(x + 13, base + 16, "image", "small middle")
    )


def _section(row: Row, anatomy: Anatomy, section: Section, x: float, middle: float, scale: _Scale) -> float:
    """Draw a section; return its width."""
    width = scale.section(section)
    blocks = sum(scale.run(run) for run in section.runs) + _BLOCK_GAP * (len(section.runs) - 1)
    at = x + (width - blocks) / 2
    for run in section.runs:
        at = _run(row, run, at, middle, scale)
    row.parts.append(_caption(anatomy, section, x + width / 2, middle + _TALLEST / 2 + 24))
    return width


def _run(row: Row, run: Run, x: float, middle: float, scale: _Scale) -> float:
    """Draw the run's blocks; return where the next run begins."""
    width, height = scale.width(run.block), scale.height(run.block)
    shortened = run.count > run.shown
    for index in range(run.shown):
        if shortened and index == run.shown - 1:
            for dot in (0.7, 1.2, 1.7):
                row.parts.append(element("circle", cx=x + (dot - 0.55) * _BLOCK_GAP, cy=middle, r=1.7, cls="gap"))
            x += 2.4 * _BLOCK_GAP
        row.parts.append(_block(run.block, x, middle, width, height))
        for name in run.names[index:]:
            row.places[name] = (x + width / 2, middle - height / 2)
        x += width + _BLOCK_GAP
    if shortened:
        centre = x - _BLOCK_GAP - scale.run(run) / 2
        rise = 26 if run.block.shortcut else 10
        row.parts.append(text(centre, middle - height / 2 - rise, f"× {run.count}", "head middle"))
    return x


def _block(block: Block, x: float, middle: float, width: float, height: float) -> str:
    top = middle - height / 2
    shape = "×".join(map(str, block.layers[-1].output))
    parts = [box(x, top, width, height, block.kind, 2.5, title=f"{block.name}: {shape}")]
    convs = sum(layer.operation == "conv2d" for layer in block.layers)
    cats = [layer for layer in block.layers if layer.operation == "cat"]
    if block.kind == "inception" or (block.kind == "residual" and cats):
        branches = len(cats[-1].inputs)
        ys = [top + height * i / branches for i in range(1, branches)]
        parts += [path(f"M{number(x)} {number(y)}L{number(x + width)} {number(y)}", "slit") for y in ys]
    elif block.kind in ("residual", "plain", "dense"):
        cuts = min(block.members, 24) if block.kind == "dense" else convs - (block.shortcut == "projection")
        xs = [x + width * i / cuts for i in range(1, cuts)]
        parts += [path(f"M{number(a)} {number(top)}L{number(a)} {number(top + height)}", "slit") for a in xs]
    if block.shortcut:
        a, b, rise = x - _BLOCK_GAP / 2 + 1, x + width + _BLOCK_GAP / 2 - 1, min(24.0, 12 + width / 4)
        parts.append(arc(a, b, top + 4, rise + 4, block.shortcut))
    elif block.kind == "dense":
        parts += _fan(x, top, width, block.members)
    return "".join(parts)


def arc(a: float, b: float, y: float, rise: float, style: str) -> str:
    """Return the path around a block, from `a` to `b` at height `y`."""
    high = number(y - rise)
    return path(
        f"M{number(a)} {number(y)}C{number(a)} {high} {number(b)} {high} {number(b)} {number(y)}", f"way {style}"
    )


def _fan(x: float, top: float, width: float, members: int) -> list[str]:
    """Return arcs from the block's input to some of its layers: each reads all outputs before it."""
    ways = []
    for share in (0.25, 0.5, 0.75, 1.0) if members > 3 else (0.5, 1.0):
        b = x + width * share
        rise = 8 + 22 * share
        a = x - 2
        ways.append(arc(a, b, top, rise, "identity"))
    return ways


def _words(section: Section) -> list[str]:
    """Return the lines of a section's caption: resolution, channels, content, receptive field."""
    last = section.runs[-1].block
    if not section.sides:
        gated = sum(run.count for run in section.runs if run.block.kind == "gated")
        if gated:
            return [
                "fully connected",
                f"{section.runs[0].block.channels} units wide",
                f"{gated} highway {agree(gated, 'layer', 'layers')}",
                "",
            ]
        linear = [run.block.channels for run in section.runs if run.block.kind == "linear" for _ in range(run.count)]
        widths = linear or [last.channels]
        if last.name != "logits" and all(run.block.kind == "pool" for run in section.runs):
            return ["pooled", f"{last.channels} {agree(last.channels, 'channel', 'channels')}", "", ""]
        return ["classifier", " → ".join(map(str, widths)), "outputs" if len(widths) < 2 else "", ""]
    first, final = section.sides[0], section.sides[-1]
    size = f"{first}×{first}" if len(section.sides) == 1 else f"{first} → {final}"
    counts: dict[Kind, int] = {}
    for run in section.runs:
        counts[run.block.kind] = counts.get(run.block.kind, 0) + run.count
    drawn = ((kind, count) for kind, count in counts.items() if kind not in ("pool", "norm"))
    inside = [
        f"{_window(section, 'conv')}convolution"
        if (kind, count) == ("conv", 1)
        else f"{count} {NAMES[kind][0 if count == 1 else 1]}"
        for kind, count in drawn
    ]
    dense = sum(run.block.members for run in section.runs if run.block.kind == "dense")
    if dense:
        inside = [f"{dense} dense {agree(dense, 'layer', 'layers')}"]
    pools = counts.get("pool", 0)
    if pools and len(inside) < 2:
        words = f"{_window(section, 'pool')}pool" if pools == 1 else f"{pools} pools"
        inside.insert(0 if section.runs[0].block.kind == "pool" else 1, words)
    sees = f"sees {section.field} px" if section.field else "sees all"
    words = ", ".join(inside[:2]).replace("residual unit", "unit").replace(" of branches", "")
    if any(run.block.kind == "norm" for run in section.runs):
        words += ", BN · ReLU"
    return [
        f"{section.name}: {size}" if section.name else size,
        f"{last.channels} {agree(last.channels, 'channel', 'channels')}",
        words,
        sees,
    ]


def _window(section: Section, kind: Kind) -> str:
    """Return the window of a section's first block of a kind, as "7×7 ", or "" where nothing slides."""
    block = next(block for block in section.blocks if block.kind == kind)
    window = next((layer.window[0] for layer in block.layers if layer.window), ())
    return f"{'×'.join(map(str, window))} " if window else ""


def _caption_width(section: Section) -> float:
    size, *lines = _words(section)
    return max(86.0, width_of(size, 13, bold=True), *(width_of(line, 12) for line in lines))


def _caption(anatomy: Anatomy, section: Section, x: float, y: float) -> str:
    size, *lines = _words(section)
    parts = [text(x, y, size, "head middle")]
    for line in lines:
        y += 16
        parts.append(text(x, y, line, "small middle"))
    if not section.macs and not section.params:
        return "".join(parts)
    width = 84.0
    shares = (("params", section.params, anatomy.params, "params"), ("macs", section.macs, anatomy.macs, "MACs"))
    for style, value, whole, name in shares:
        y += 18
        share = value / whole if whole else 0.0
        parts.append(text(x, y, f"{short(value)} {name}", "tiny middle"))
        parts.append(box(x - width / 2, y + 4, width, 4, "bar", 2))
        if share > 0.004:
            parts.append(box(x - width / 2, y + 4, width * share, 4, f"bar {style}", 2))
        y += 3
    return "".join(parts)
