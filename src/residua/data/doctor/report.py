"""What the doctor found, as values, text and JSON."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

from residua._base.words import counted, visible

_MOST_FILES = 20  # per finding in text; the JSON lists all
_MOST_CLASSES = 12  # of each end of the table in text


@dataclass(frozen=True)
class Finding:
    """One kind of fault or oddity.

    Attributes:
        kind: "empty", "truncated", "corrupt", "unsupported", "unreadable", "layout", "absent-class",
            "duplicate-across-splits", "duplicate-across-classes", "duplicate", "near-duplicate-across-classes",
            "near-duplicate-across-splits", "near-duplicate", "placeholder", "left-out", "extension", "mode", "levels",
            "size", "imbalance" or "not-examined"; of a table also "label-conflict" and
            "group-across-splits"; with a run "alike-across-splits".
        must_fix: the data should not be used before this is fixed.
        message: a sentence.
        files: the files concerned; for duplicates, groups of equal images.
    """

    kind: str
    must_fix: bool
    message: str
    files: tuple[str, ...] | tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """What `check` found.

    Attributes:
        given: the data, as named by the user.
        classes: every class of any split, sorted.
        counts: split -> class -> images.
        images: how many were examined.
        modes: colour mode -> images, of those that decode.
        sizes: "least", "median" and "greatest" (height, width), by area; empty when nothing decodes.
        findings: what must be fixed first, then what is odd.
        multilabel: whether an image may have several labels: then it counts for each.
    """

    given: str
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    images: int
    modes: dict[str, int]
    sizes: dict[str, tuple[int, int]]
    findings: tuple[Finding, ...]
    multilabel: bool = False

    @property
    def ok(self) -> bool:
        """Nothing must be fixed."""
        return not any(finding.must_fix for finding in self.findings)

    def to_json(self) -> str:
        """Return one JSON document with the fields, and "ok"; ASCII, so that any terminal and any name can carry it."""
        fields = {key: value for key, value in dataclasses.asdict(self).items() if key != "multilabel" or value}
        return json.dumps({"ok": self.ok, **fields}, indent=2)

    def to_text(self) -> str:
        """Return the report for people: classes and counts, then a line per finding and per file, at most 20 each.

        Files of the data are named relative to its folder.
        """
        kinds = counted(len(self.classes), "label") + ", several an image"
        kinds = kinds if self.multilabel else counted(len(self.classes), "class", "classes")
        lines = [f"{self.given}: {counted(self.images, 'image')}, {kinds}"]
        lines += self._table()
        if any(self._within(name) != name for each in self.findings for name in _flat(each.files)):
            lines.append(f"Files are named within {self.given}")
        for finding in self.findings:
            lines.append(f"{'FIX ' if finding.must_fix else 'note'}  {finding.kind}: {finding.message}")
            shown = [
                " = ".join(map(self._within, each)) if isinstance(each, tuple) else self._within(each)
                for each in finding.files[:_MOST_FILES]
            ]
            lines += [f"        {each}" for each in shown]
            if len(finding.files) > _MOST_FILES:
                lines.append(f"        and {len(finding.files) - _MOST_FILES} more")
        lines.append("Nothing must be fixed." if self.ok else "Something must be fixed: see FIX.")
        return "\n".join(map(visible, lines))

    def _within(self, name: str) -> str:
        return name.removeprefix(self.given.rstrip(os.sep) + os.sep)

    def _table(self) -> list[str]:
        """Return a row of images for each class, the largest first; of many classes both ends."""
        rows = [(label, [counts.get(label, 0) for counts in self.counts.values()]) for label in self.classes]
        rows.sort(key=lambda row: -sum(row[1]))
        # Images that count for several labels sum to nothing.
        total = [] if self.multilabel else [("all", [sum(counts.values()) for counts in self.counts.values()])]
        left_out = len(rows) - 2 * _MOST_CLASSES
        if left_out > 0:
            rows[_MOST_CLASSES:-_MOST_CLASSES] = [(f"({left_out:,} classes between)", [])]
        texts = [("label" if self.multilabel else "class", list(self.counts))]
        texts += [(visible(label), [f"{count:,}" for count in counts]) for label, counts in (*total, *rows)]
        width = max(len(label) for label, _ in texts)
        columns = [max(6, *(len(row[1][at]) for row in texts if row[1])) for at in range(len(self.counts))]
        return [
            "  " + "  ".join([label.ljust(width), *map(str.rjust, cells, columns)]).rstrip() for label, cells in texts
        ]


def _flat(files: tuple[str, ...] | tuple[tuple[str, ...], ...]) -> Iterator[str]:
    for each in files:
        yield from (each,) if isinstance(each, str) else each
