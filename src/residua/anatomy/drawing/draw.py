"""The whole picture: title, the network from left to right, its building blocks, the legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from residua.anatomy.anatomy import Anatomy
from residua.anatomy.drawing.canvas import STYLE, arrow_head, box, element, number, path, short, text, width_of
from residua.anatomy.drawing.diagram import diagram
from residua.anatomy.drawing.picture import Block, Kind, Run, Section, sections
from residua.figures.palette import literal

_WIDTH, _MARGIN = 1400.0, 48.0
_ROW_TOP, _TALLEST, _LOWEST = 136.0, 210.0, 44.0
_BLOCK_GAP, _SECTION_GAP = 8.0, 30.0
_STRETCH = 2.3
_NAMES: dict[Kind, tuple[str, str]] = {
    "conv": ("convolution", "convolutions"),
    "residual": ("residual unit", "residual units"),
    "plain": ("plain unit", "plain units"),
    "gated": ("highway unit", "highway units"),
    "inception": ("module of branches", "modules"),
    "dense": ("dense block", "dense blocks"),
    "pool": ("pool", "pools"),
    "linear": ("linear layer", "linear layers"),
}
_DETAILED: tuple[Kind, ...] = ("residual", "plain", "gated", "inception", "dense")
_SHORTCUTS = {
    "identity": "identity shortcut",
    "projection": "projection shortcut",
    "padding": "identity, new channels zero",
    "pool": "strided identity",
}
_DIAGRAMS = 4


def draw(anatomy: Anatomy) -> str:
    """Return the picture as an SVG document; it follows the viewer's light or dark scheme."""
    found = sections(anatomy)
    row, bottom = _row(anatomy, found)
    units, bottom = _units(found, bottom + 34)
    legend, bottom = _legend(found, bottom + 30)
    height = bottom + 26
    body = [
        element("style", literal(STYLE)),
        box(0, 0, _WIDTH, height, "paper", 0),
        _title(anatomy),
        row,
        units,
        legend,
    ]
    spoken = f"{anatomy.name}: {short(anatomy.params)} parameters, {short(anatomy.macs)} MACs"
    return element(
        "svg",
        "".join(body),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(_WIDTH)} {number(height)}",
        width=number(_WIDTH),
        height=number(height),
        role="img",
        aria_label=spoken,
    )


def _title(anatomy: Anatomy) -> str:
    ran = [layer.operation for layer in anatomy.layers]
    counts = [(ran.count("conv2d"), "convolution"), (ran.count("linear"), "linear layer")]
    weighted = " and ".join(f"{count} {name}{'s' if count > 1 else ''}" for count, name in counts if count)
    image = "×".join(map(str, anatomy.input_shape))
    under = " · ".join(word for word in (anatomy.paper, f"images of {image}", weighted) if word)
    parts = [text(_MARGIN, 56, anatomy.name, "title"), text(_MARGIN, 82, under, "sub")]
    right = _WIDTH - _MARGIN
    facts = ((short(anatomy.params), "parameters"), (short(anatomy.macs), "MACs"), (short(anatomy.flops), "FLOPs"))
    for value, name in reversed(facts):
        parts += [text(right, 54, value, "big end"), text(right, 74, name, "small end")]
        right -= max(width_of(value, 19), width_of(name, 12)) + 30
    return "".join(parts)


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
        if block.kind == "pool":
            return 6 + 3 * self.stretch
        factor = {"inception": 1.15, "dense": 2.2}.get(block.kind, 1.0)
        return (7 + 4 * math.log2(max(block.channels / 8, 1))) * factor * self.stretch

    def run(self, run: Run) -> float:
        gaps = run.shown - 1 + (2.4 if run.count > run.shown else 0)
        return run.shown * self.width(run.block) + gaps * _BLOCK_GAP

    def section(self, section: Section) -> float:
        blocks = sum(self.run(run) for run in section.runs) + _BLOCK_GAP * (len(section.runs) - 1)
        return max(blocks, _caption_width(section))


def _row(anatomy: Anatomy, found: Sequence[Section]) -> tuple[str, float]:
    sides = [block.side for section in found for block in section.blocks if block.side > 1] or [1]
    largest = max(*anatomy.input_shape[1:], *sides)
    image = 42.0
    room = _WIDTH - 2 * _MARGIN - image - _SECTION_GAP * len(found)
    scale = _Scale(min(sides), largest)
    # The width of captions does not scale with the blocks: a few steps find the stretch that fills the row.
    for _ in range(16):
        wanted = sum(scale.section(section) for section in found)
        if wanted <= room and scale.stretch >= _STRETCH:
            break
        scale = _Scale(scale.smallest, largest, min(_STRETCH, scale.stretch * min(1.25, room / wanted)))
    used = sum(scale.section(section) for section in found)
    gap = _SECTION_GAP + max(0.0, min(80.0, (room - used) / len(found)))
    middle = _ROW_TOP + _TALLEST / 2 + 12
    x = _MARGIN + max(0.0, (room - used - (gap - _SECTION_GAP) * len(found)) / 2)
    parts = [_image(anatomy, x, middle, scale)]
    x += image
    for section in found:
        parts.append(_flow(x + 3, x + gap - 5, middle))
        x += gap
        drawn, width = _section(anatomy, section, x, middle, scale)
        parts.append(drawn)
        x += width
    return "".join(parts), middle + _TALLEST / 2 + 136


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


def _section(anatomy: Anatomy, section: Section, x: float, middle: float, scale: _Scale) -> tuple[str, float]:
    width = scale.section(section)
    blocks = sum(scale.run(run) for run in section.runs) + _BLOCK_GAP * (len(section.runs) - 1)
    at = x + (width - blocks) / 2
    parts = []
    for run in section.runs:
        drawn, at = _run(run, at, middle, scale)
        parts.append(drawn)
    parts.append(_caption(anatomy, section, x + width / 2, middle + _TALLEST / 2 + 24))
    return "".join(parts), width


def _run(run: Run, x: float, middle: float, scale: _Scale) -> tuple[str, float]:
    """Draw the run's blocks; return where the next run begins."""
    width, height = scale.width(run.block), scale.height(run.block)
    shortened = run.count > run.shown
    parts = []
    for index in range(run.shown):
        if shortened and index == run.shown - 1:
            for dot in (0.7, 1.2, 1.7):
                parts.append(element("circle", cx=x + (dot - 0.55) * _BLOCK_GAP, cy=middle, r=1.7, cls="gap"))
            x += 2.4 * _BLOCK_GAP
        parts.append(_block(run.block, x, middle, width, height))
        x += width + _BLOCK_GAP
    if shortened:
        centre = x - _BLOCK_GAP - scale.run(run) / 2
        arc = 26 if run.block.shortcut else 10
        parts.append(text(centre, middle - height / 2 - arc, f"× {run.count}", "head middle"))
    return "".join(parts), x


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
        parts.append(_arc(a, b, top + 4, rise + 4, block.shortcut))
    elif block.kind == "dense":
        parts += _fan(x, top, width, block.members)
    return "".join(parts)


def _arc(a: float, b: float, y: float, rise: float, style: str) -> str:
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
        ways.append(_arc(a, b, top, rise, "identity"))
    return ways


def _words(section: Section) -> list[str]:
    """Return the lines of a section's caption: resolution, channels, content, receptive field."""
    last = section.runs[-1].block
    if not section.sides:
        gated = sum(run.count for run in section.runs if run.block.kind == "gated")
        if gated:
            return ["fully connected", f"{section.runs[0].block.channels} units wide", f"{gated} highway layers", ""]
        linear = [run.block.channels for run in section.runs if run.block.kind == "linear" for _ in range(run.count)]
        widths = linear or [last.channels]
        return ["classifier", " → ".join(map(str, widths)), "outputs" if len(widths) < 2 else "", ""]
    first, final = section.sides[0], section.sides[-1]
    size = f"{first}×{first}" if len(section.sides) == 1 else f"{first} → {final}"
    counts: dict[Kind, int] = {}
    for run in section.runs:
        counts[run.block.kind] = counts.get(run.block.kind, 0) + run.count
    inside = [f"{count} {_NAMES[kind][0 if count == 1 else 1]}" for kind, count in counts.items() if kind != "pool"]
    dense = sum(run.block.members for run in section.runs if run.block.kind == "dense")
    if dense:
        inside = [f"{dense} dense layers"]
    pools = counts.get("pool", 0)
    if pools and len(inside) < 2:
        words = "pool" if pools == 1 else f"{pools} pools"
        inside.insert(0 if section.runs[0].block.kind == "pool" else 1, words)
    sees = f"sees {section.field} px" if section.field else "sees all"
    words = ", ".join(inside[:2]).replace("residual unit", "unit").replace(" of branches", "")
    return [size, f"{last.channels} channels", words, sees]


def _caption_width(section: Section) -> float:
    size, *lines = _words(section)
    return max(86.0, width_of(size, 13), *(width_of(line, 12) for line in lines))


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


def _units(found: Sequence[Section], top: float) -> tuple[str, float]:
    """Return the most frequent structures in detail, in the order of the network."""
    runs = [run for section in found for run in section.runs if run.block.kind in _DETAILED]
    counts: dict[tuple[object, ...], int] = {}
    blocks: dict[tuple[object, ...], Block] = {}
    for run in runs:
        counts[run.block.structure] = counts.get(run.block.structure, 0) + run.count
        blocks.setdefault(run.block.structure, run.block)
    if not runs:
        return "", top - 34
    # One layer stands for a dense block, since all are the same.
    chosen: dict[tuple[object, ...], Block] = {}
    for structure in sorted(counts, key=lambda key: -counts[key]):
        if blocks[structure].kind != "dense" or not any(block.kind == "dense" for block in chosen.values()):
            chosen[structure] = blocks[structure]
    wanted = [(s, b) for s, b in blocks.items() if s in list(chosen)[:_DIAGRAMS]]
    panels: list[tuple[str, Block, float, float]] = []
    for structure, block in wanted:
        _, width, height = diagram(block, 0, 0)
        name = _unit_name(block, counts[structure])
        panels.append((name, block, max(width, width_of(name, 13)), height))
    while sum(width for _, _, width, _ in panels) + 56 * (len(panels) - 1) > _WIDTH - 2 * _MARGIN and len(panels) > 1:
        panels.pop(min(range(len(panels)), key=lambda i: counts[panels[i][1].structure]))
    free = _WIDTH - 2 * _MARGIN - sum(width for _, _, width, _ in panels)
    gap = min(110.0, free / len(panels))
    x = _MARGIN + (free - gap * (len(panels) - 1)) / 2
    parts = [path(f"M{number(_MARGIN)} {number(top - 16)}L{number(_WIDTH - _MARGIN)} {number(top - 16)}", "rule")]
    lowest = top
    for name, block, width, height in panels:
        parts.append(text(x + width / 2, top + 14, name, "head middle"))
        own = diagram(block, 0, 0)[1]
        parts.append(diagram(block, x + (width - own) / 2, top + 30)[0])
        lowest = max(lowest, top + 30 + height)
        x += width + gap
    return "".join(parts), lowest


def _unit_name(block: Block, count: int) -> str:
    if block.kind == "dense":
        return "dense layer: reads all before it in its block"
    name = _SHORTCUTS[block.shortcut] if block.shortcut else _NAMES[block.kind][0]
    return f"{name}  × {count}" if count > 1 else name


def _legend(found: Sequence[Section], y: float) -> tuple[str, float]:
    blocks = [block for section in found for block in section.blocks]
    x = _MARGIN
    parts = [path(f"M{number(_MARGIN)} {number(y - 12)}L{number(_WIDTH - _MARGIN)} {number(y - 12)}", "rule")]
    y += 14
    for kind in dict.fromkeys(block.kind for block in blocks):
        name = _NAMES[kind][0]
        parts += [box(x, y - 11, 13, 13, kind, 2.5), text(x + 20, y, name, "small")]
        x += 20 + width_of(name, 12) + 20
    for shortcut in dict.fromkeys(block.shortcut for block in blocks if block.shortcut):
        name = _SHORTCUTS[shortcut]
        parts.append(_arc(x, x + 22, y, 15, shortcut))
        parts.append(text(x + 30, y, name, "small"))
        x += 30 + width_of(name, 12) + 20
    if any(block.kind == "dense" for block in blocks):
        name = "every later layer reads it, too"
        parts += [_arc(x, x + 22, y, 15, "identity"), text(x + 30, y, name, "small")]
        x += 30 + width_of(name, 12)
    scale = "height: resolution, width: channels (logarithmic); bars: share of the whole"
    if x + 20 > _WIDTH - _MARGIN - width_of(scale, 11):
        y += 24
    parts.append(text(_WIDTH - _MARGIN, y, scale, "tiny end"))
    return "".join(parts), y
