"""Images whose labels stand in a table, to be examined; rows that are at fault become findings."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

from residua._base.words import counted
from residua.data.doctor.findings import absent_classes
from residua.data.doctor.inspect import Member, examine_file
from residua.data.doctor.report import Finding
from residua.data.sources.table import PARTS, read_labelled
from residua.data.tables.label_table import LabelTable
from residua.data.tables.rows import Row


def of_table(
    path: Path, table: LabelTable, findings: list[Finding]
) -> tuple[list[Member], dict[str, dict[str, int]], bool]:
    """Return the images that the table names, and their numbers by split and class; add what is wrong to `findings`.

    The third value states whether an image may have several labels: then it counts for each.

    Raises:
        InputError: as `read_labelled`.
    """
    labelled = read_labelled(path, table)
    findings += [Finding("layout", False, note) for note in labelled.notes]
    findings += [Finding(fault.kind, True, fault.message, fault.rows) for fault in labelled.faults]
    if labelled.missing:
        count = counted(len(labelled.missing), "row names no image", "rows name no image")
        findings.append(Finding("unreadable", True, count, labelled.missing))
    rows = [each.row for each in labelled.rows]

    def labels(row: Row) -> tuple[str, ...]:
        return row.labels if labelled.multilabel else (row.label,)

    counts = {part: dict(Counter(label for row in rows if row.part == part for label in labels(row))) for part in PARTS}
    counts = {part: split for part, split in counts.items() if split}
    if len(every := sorted({label for row in rows for label in labels(row)})) < 2:
        named = f"every image is {every[0]}" if every else "no row can be used"
        findings.append(Finding("layout", True, f"{named}; two classes are needed"))
    findings += absent_classes(counts)
    pairs = [(each.row, each.file) for each in labelled.rows]
    members = [Member(row.part, row.label, str(file), partial(examine_file, file)) for row, file in pairs]
    return members, counts, labelled.multilabel
