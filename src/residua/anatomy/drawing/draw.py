"""The whole picture: title, the network from left to right, its building blocks, the legend."""

from __future__ import annotations

from collections.abc import Sequence

from residua.anatomy.anatomy import Anatomy
from residua.anatomy.drawing.canvas import box, document, number, path, short, text
from residua.anatomy.drawing.diagram import diagram
from residua.anatomy.drawing.heads import draw_heads, heads_height
from residua.anatomy.drawing.picture import Block, Head, Kind, Section, sections, side_heads
from residua.anatomy.drawing.row import MARGIN, NAMES, SHORTCUTS, arc, draw_row
from residua.figures.widths import width_of

# Sizes of the drawing, pixels.
_ROW_TOP = 136.0

_DETAILED: tuple[Kind, ...] = ("residual", "plain", "gated", "inception", "dense")
_DIAGRAMS = 4  # kinds of blocks in detail: more do not fit beside each other


def draw(anatomy: Anatomy) -> str:
    """Return the picture as an SVG document; it follows the viewer's light or dark scheme."""
    trunk, heads = sections(anatomy), side_heads(anatomy)
    row = draw_row(anatomy, trunk, _ROW_TOP + heads_height(heads))
    units, bottom = _units(trunk, row.bottom + 34, row.width)
    legend, bottom = _legend(trunk, heads, bottom + 30, row.width)
    body = [_title(anatomy, trunk, heads, row.width), *row.parts, draw_heads(heads, row, _ROW_TOP), units, legend]
    return document(
        body, row.width, bottom + 26, f"{anatomy.name}: {short(anatomy.params)} parameters, {short(anatomy.macs)} MACs"
    )


def _title(anatomy: Anatomy, trunk: Sequence[Section], heads: Sequence[Head], width: float) -> str:
    ran = [layer.operation for layer in anatomy.layers]
    counts = [(ran.count("conv2d"), "convolution"), (ran.count("linear"), "linear layer")]
    weighted = " and ".join(f"{count} {name}{'s' if count > 1 else ''}" for count, name in counts if count)
    image = "×".join(map(str, anatomy.input_shape))
    # What is stated is what is drawn: the sections and side heads sum to it.
    params = sum(section.params for section in trunk) + sum(head.params for head in heads)
    idle = f"{short(anatomy.params - params)} more parameters do not run" if params != anatomy.params else ""
    under = " · ".join(word for word in (anatomy.paper, f"images of {image}", weighted, idle) if word)
    parts = [text(MARGIN, 56, anatomy.name, "title"), text(MARGIN, 82, under, "sub")]
    right = width - MARGIN
    facts = ((short(params), "parameters"), (short(anatomy.macs), "MACs"), (short(anatomy.flops), "FLOPs"))
    for value, name in reversed(facts):
        parts += [text(right, 54, value, "big end"), text(right, 74, name, "small end")]
        right -= max(width_of(value, 19, bold=True), width_of(name, 12)) + 30
    return "".join(parts)


def _units(trunk: Sequence[Section], top: float, page: float) -> tuple[str, float]:
    """Return the most frequent structures in detail, in the order of the network."""
    runs = [run for section in trunk for run in section.runs if run.block.kind in _DETAILED]
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
        panels.append((name, block, max(width, width_of(name, 13, bold=True)), height))
    while sum(width for _, _, width, _ in panels) + 56 * (len(panels) - 1) > page - 2 * MARGIN and len(panels) > 1:
        panels.pop(min(range(len(panels)), key=lambda i: counts[panels[i][1].structure]))
    free = page - 2 * MARGIN - sum(width for _, _, width, _ in panels)
    gap = min(110.0, free / len(panels))
    x = MARGIN + (free - gap * (len(panels) - 1)) / 2
    parts = [path(f"M{number(MARGIN)} {number(top - 16)}L{number(page - MARGIN)} {number(top - 16)}", "rule")]
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
    name = SHORTCUTS[block.shortcut] if block.shortcut else NAMES[block.kind][0]
    return f"{name}  × {count}" if count > 1 else name


def _legend(trunk: Sequence[Section], heads: Sequence[Head], y: float, page: float) -> tuple[str, float]:
    blocks = [block for section in trunk for block in section.blocks]
    blocks += [block for head in heads for block in head.blocks]
    x = MARGIN
    parts = [path(f"M{number(MARGIN)} {number(y - 12)}L{number(page - MARGIN)} {number(y - 12)}", "rule")]
    y += 14
    for kind in dict.fromkeys(block.kind for block in blocks):
        name = NAMES[kind][0]
        parts += [box(x, y - 11, 13, 13, kind, 2.5), text(x + 20, y, name, "small")]
        x += 20 + width_of(name, 12) + 20
    for shortcut in dict.fromkeys(block.shortcut for block in blocks if block.shortcut):
        name = SHORTCUTS[shortcut]
        parts.append(arc(x, x + 22, y, 15, shortcut))
        parts.append(text(x + 30, y, name, "small"))
        x += 30 + width_of(name, 12) + 20
    if any(block.kind == "dense" for block in blocks):
        name = "every later layer reads it, too"
        parts += [arc(x, x + 22, y, 15, "identity"), text(x + 30, y, name, "small")]
        x += 30 + width_of(name, 12)
    scale = "height: resolution, width: channels (logarithmic); bars: share of the whole"
    if x + 20 > page - MARGIN - width_of(scale, 11):
        y += 24
    parts.append(text(page - MARGIN, y, scale, "tiny end"))
    return "".join(parts), y
