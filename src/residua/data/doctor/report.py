"""What the doctor found, as values, text and JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from residua._base.words import counted, visible

_MOST_FILES = 20  # per finding in text; the JSON lists all


@dataclass(frozen=True)
class Finding:
    """One kind of fault or oddity.

    Attributes:
        kind: "empty", "truncated", "corrupt", "unsupported", "unreadable", "layout", "absent-class",
            "duplicate-across-splits", "duplicate-across-classes", "duplicate", "near-duplicate-across-splits",
            "near-duplicate", "extension", "mode", "levels", "size", "imbalance" or "not-examined"; of a table also
            "label-conflict" and "group-across-splits".
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
    """

    given: str
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    images: int
    modes: dict[str, int]
    sizes: dict[str, tuple[int, int]]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Nothing must be fixed."""
        return not any(finding.must_fix for finding in self.findings)

    def to_json(self) -> str:
        """Return one JSON document with the fields, and "ok"; ASCII, so that any terminal and any name can carry it."""
        return json.dumps({"ok": self.ok, **dataclasses.asdict(self)}, indent=2)

    def to_text(self) -> str:
        """Return the report for people: a line per finding and a line per file, at most 20 files each."""
        lines = [f"{self.given}: {counted(self.images, 'image')}, {counted(len(self.classes), 'class', 'classes')}"]
        lines += [f"  {split}: {sum(counts.values())}" for split, counts in self.counts.items()]
        for finding in self.findings:
            lines.append(f"{'FIX ' if finding.must_fix else 'note'}  {finding.kind}: {finding.message}")
            shown = [" = ".join(each) if isinstance(each, tuple) else each for each in finding.files[:_MOST_FILES]]
            lines += [f"        {each}" for each in shown]
            if len(finding.files) > _MOST_FILES:
                lines.append(f"        and {len(finding.files) - _MOST_FILES} more")
        lines.append("Nothing must be fixed." if self.ok else "Something must be fixed: see FIX.")
        return "\n".join(map(visible, lines))
