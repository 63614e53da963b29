"""The rows of a table as image, label, part and group; what is wrong with them, row by row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from residua._base.words import counted, some
from residua.data.sources.parts import part_named
from residua.data.tables.cells import Cells
from residua.data.tables.label_table import SEPARATOR, TRUTH, Columns


@dataclass(frozen=True)
class Row:
    """What a row states.

    Attributes:
        number: of the row, see `Cells.rows`.
        name: the image, as the table names it.
        label: its class; of a table with several labels an image, all of them, sorted, with ";" between them.
        part: "train", "val" or "test"; "train" in a table without parts.
        group: what it belongs to, "" in a table without groups.
    """

    number: int
    name: str
    label: str
    part: str = "train"
    group: str = ""

    def __str__(self) -> str:
        return f"row {self.number} ({self.name})"

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of an image that may have several."""
        return tuple(filter(None, self.label.split(SEPARATOR)))


@dataclass(frozen=True)
class Fault:
    """Rows that cannot be used.

    Attributes:
        kind: what `CheckReport` calls it: "layout", "unreadable", "label-conflict" or "group-across-splits".
        message: what is wrong, beginning with a count.
        rows: each row concerned.
    """

    kind: str
    message: str
    rows: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.message}: {some(self.rows, 5)}"


def has_several(cells: Cells, columns: Columns) -> bool:
    """Return whether a table states several labels an image: by a column for each, or by ";" in any label."""
    if columns.labels:
        return True
    at = cells.header.index(columns.label)
    return any(SEPARATOR in cell[at] for _, cell in cells.rows if len(cell) == len(cells.header))


def read_rows(cells: Cells, columns: Columns, *, multilabel: bool = False) -> tuple[list[Row], list[Fault], list[str]]:
    """Return the rows that state an image, a label, a part and a group; the faults of the others; and notes.

    A row that repeats an earlier one word by word is left out, and a note counts such rows.

    Args:
        cells: of the table.
        columns: which of them states what.
        multilabel: whether an image may have several labels, or none; see `has_several`.
    """
    roles = {role: column for role, column in columns.to_dict().items() if role != "labels"}
    at = {role: cells.header.index(column) for role, column in roles.items()}
    names = columns.labels.split(SEPARATOR) if columns.labels else []
    of_label = {name: cells.header.index(name) for name in names}
    wrong: defaultdict[str, list[str]] = defaultdict(list)
    rows: list[Row] = []
    for number, cell in cells.rows:
        if len(cell) != len(cells.header):
            wrong["length"].append(f"row {number} ({len(cell)} for {len(cells.header)})")
            continue
        stated = {role: cell[index].strip() for role, index in at.items()}
        label = stated.get("label", "")
        if odd := [name for name in names if cell[of_label[name]].strip().casefold() not in TRUTH]:
            value = cell[of_label[odd[0]]].strip()[:40]
            wrong["value"].append(f"row {number} ({odd[0]}: {repr(value) if value else 'empty'})")
            continue
        if multilabel:
            present = [name for name in names if TRUTH[cell[of_label[name]].strip().casefold()]]
            label = SEPARATOR.join(sorted({*present, *(each.strip() for each in label.split(SEPARATOR))} - {""}))
        row = Row(number, stated["path"], label, stated.get("split", "train"), stated.get("group", ""))
        reason = _reason(row, columns, multilabel=multilabel)
        if reason:
            wrong[reason].append(f"row {number} ({row.part})" if reason == "part" else str(row))
        else:
            rows.append(Row(number, row.name, row.label, part_named(row.part), row.group))
    sentences = {
        "length": "has more or fewer values than there are columns",
        "empty": "names no image",
        "label": "has no label",
        "value": "holds in the column of a label something else than 0, 1, false or true",
        "part": "has a part that is none of train, val and test",
        "group": "has no group",
        "null": "holds a null character",
    }
    plural = {"has ": "have ", "names ": "name ", "holds ": "hold "}
    faults = []
    for kind, sentence in sentences.items():
        if named := wrong[kind]:
            verb = next(verb for verb in plural if sentence.startswith(verb))
            many = plural[verb] + sentence.removeprefix(verb)
            faults.append(Fault("layout", counted(len(named), f"row {sentence}", f"rows {many}"), tuple(named)))
    single, again = _without_repeats(rows)
    notes = [f"{counted(again, 'row repeats', 'rows repeat')} an earlier one and counted once"] * bool(again)
    return single, faults, notes


def _reason(row: Row, columns: Columns, *, multilabel: bool) -> str:
    """Return the kind of what makes a row useless, "" for nothing."""
    if "\0" in row.name or "\0" in row.label:
        return "null"
    if not row.name:
        return "empty"
    if not multilabel and not row.label.strip(SEPARATOR + " "):
        return "label"
    if columns.split and not part_named(row.part):
        return "part"
    return "group" if columns.group and not row.group else ""


def _without_repeats(rows: Sequence[Row]) -> tuple[list[Row], int]:
    seen: set[tuple[str, str, str, str]] = set()
    kept = []
    for row in rows:
        stated = (row.name, row.label, row.part, row.group)
        if stated not in seen:
            seen.add(stated)
            kept.append(row)
    return kept, len(rows) - len(kept)


def conflicts(rows: Sequence[tuple[Row, Path]]) -> list[Fault]:
    """Return the faults of rows that contradict each other: one file twice, a group in several parts."""
    faults = []
    files: defaultdict[Path, list[Row]] = defaultdict(list)
    groups: defaultdict[str, dict[str, Row]] = defaultdict(dict)
    for row, file in rows:
        files[file].append(row)
        if row.group:
            groups[row.group].setdefault(row.part, row)
    twice = [same for same in files.values() if len(same) > 1]
    if twice:
        named = tuple(
            f"{same[0].name} in " + " and ".join(f"row {row.number} ({_stated(row)})" for row in same) for same in twice
        )
        message = counted(len(twice), "image has rows that differ", "images have rows that differ")
        faults.append(Fault("label-conflict", message, named))
    crossing = {group: parts for group, parts in groups.items() if len(parts) > 1}
    if crossing:
        named = tuple(
            f"{group} in " + " and ".join(f"{part} (row {row.number})" for part, row in parts.items())
            for group, parts in crossing.items()
        )
        message = counted(len(crossing), "group stands in several parts", "groups stand in several parts")
        faults.append(Fault("group-across-splits", f"{message}, so that a score would flatter", named))
    return faults


def _stated(row: Row) -> str:
    return ", ".join(filter(None, (row.label, row.part if row.part != "train" else "", row.group)))
