"""Networks beside each other on the terminal: costs as columns, each with a bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from residua.cli.show import print_json, say
from residua.cli.tables import print_table

if TYPE_CHECKING:
    from residua.anatomy import Anatomy
    from residua.anatomy.compare import CostComparison

_BAR = 20  # characters


def print_side_by_side(anatomies: Sequence[Anatomy], table: str, until: str | None, json: bool) -> None:
    """Print the costs of networks, in the units of `table`, "costs" or "lecture", and the notes on them."""
    from residua.anatomy.compare import lecture_side_by_side, side_by_side
    from residua.anatomy.lecture import lecture_notes

    rows = (lecture_side_by_side if table == "lecture" else side_by_side)(anatomies, until)
    if json:
        documents = [] if until is not None or table == "lecture" else [each.to_dict() for each in anatomies]
        names = [each.name for each in anatomies]
        print_json({"names": names, "until": until, "costs": rows, "networks": documents})
        return
    header = ["cost" if until is None else f"until {until}"]
    for each in anatomies:
        header += [each.name, ""]
    body = []
    for row in rows:
        cells = [row.cost]
        for value, share in zip(row.values, row.shares, strict=True):
            cells += [_shown(row, value), bar(share, _BAR)]
        body.append(cells)
    print_table(header, body, right=tuple(range(1, len(header), 2)))
    if any(row.cost == "weighted layers" for row in rows):
        say("weighted layers as He 2015 counts them: without projections, and without gates and squeeze-and-excitation")
    say()
    for each in anatomies:
        images = "×".join(map(str, each.input_shape))
        paper = f" ({each.paper})" if each.paper else ""
        say(f"{each.name}{paper}, images of {images}, memory for a batch of {each.batch}")
    for each in anatomies if table == "lecture" or until is not None else ():
        for line in lecture_notes(each):
            say(f"\n{line}")


def bar(share: float, width: int) -> str:
    """Return a bar of a share of the width, to an eighth of a character; what is not nothing shows."""
    eighths = max(round(8 * width * share), 1 if share > 0 else 0)
    full, rest = divmod(eighths, 8)
    return "█" * full + ("▏▎▍▌▋▊▉"[rest - 1] if rest else "")


def short_count(number: float) -> str:
    """Return 1814073344 as "1.814 G"."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:.4g} {name}"
    return str(number)


def short_bytes(number: float) -> str:
    """Return 3211264 as "3.1 MiB"."""
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= unit:
            return f"{number / unit:.1f} {name}"
    return f"{number} B"


def _shown(row: CostComparison, value: float) -> str:
    if row.unit == "bytes":
        return short_bytes(value)
    return short_count(value) if row.unit == "count" else f"{value:,.0f}"
