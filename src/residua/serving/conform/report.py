"""Conformance for other programs: JUnit."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from residua._base.files import atomic_path
from residua.serving.conform.conform import Conformance

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(conformance: Conformance) -> bytes:
    """Return the rows as JUnit's XML: a "should" that is not met is skipped, not failed."""
    failed = [row for row in conformance.rows if row.verdict == "fail" and row.level == "must"]
    suite = ElementTree.Element(
        "testsuite",
        name=f"Open Inference Protocol: {_text(conformance.url)}",
        tests=str(len(conformance.rows)),
        failures=str(len(failed)),
        skipped=str(sum(row.verdict != "pass" for row in conformance.rows) - len(failed)),
    )
    for row in conformance.rows:
        case = ElementTree.SubElement(suite, "testcase", classname=_text(row.source), name=_text(row.requirement))
        if row.verdict != "pass":
            kind = "failure" if row in failed else "skipped"
            note = ElementTree.SubElement(case, kind, message=_text(row.reason))
            note.text = _text(f"{row.request}\n{row.answer}")
    ElementTree.indent(suite)
    return bytes(ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True))


def write_junit(conformance: Conformance, path: Path) -> None:
    """Write the rows as JUnit's XML."""
    with atomic_path(path) as beside:
        beside.write_bytes(junit(conformance) + b"\n")


def _text(text: str) -> str:
    """Return text without the characters that XML cannot hold; servers may send any."""
    return _NO_XML.sub("\ufffd", text)
