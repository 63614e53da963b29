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


def of_table(path: Path, table: LabelTable, findings: list[Finding]) -> tuple[list[Member], dict[str, dict[str, int]]]:
    """Return the images that the table names, and their numbers by split and class; add what is wrong to `findings`.

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
    counts = {part: dict(Counter(row.label for row in rows if row.part == part)) for part in PARTS}
    counts = {part: split for part, split in counts.items() if split}
    if len(every := sorted({row.label for row in rows})) < 2:
        named = f"every image is {every[0]}" if every else "no row can be used"
        findings.append(Finding("layout", True, f"{named}; two classes are needed"))
    findings += absent_classes(counts)
    pairs = [(each.row, each.file) for each in labelled.rows]
    return [Member(row.part, row.label, str(file), partial(examine_file, file)) for row, file in pairs], counts
