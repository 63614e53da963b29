"""Proof: every network of the catalog exports to ONNX and OpenVINO and gives eager's answers there.

    .venv/bin/python proofs/export_sweep.py [PATTERN] [--side 64] [--seconds N]

Each network gets random weights and statistics. Its batch normalisation is folded in float64 and held against the
network. Then it is exported; the files are opened and run on golden images in batches of 1, 2, 7 and 32. The outcome
goes to docs/proofs/export_sweep.json and .md after each network, with the versions that it holds for. What stands there
for the current versions is not repeated, so that the sweep can be stopped and resumed. Exit 1 when a network failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from exporting.sweep import SIDE, folded, swept  # noqa: E402 - it stands beside the tests that use it
from residua._base.files import write_text  # noqa: E402
from residua.exporting.certificate import surroundings  # noqa: E402
from residua.specs.catalog import counts, list_models  # noqa: E402

OUTCOME = ROOT / "docs" / "proofs" / "export_sweep.json"
FORMATS = ("folding", "onnx", "openvino")
VERSIONS = ("residua", "torch", "onnx", "onnxscript", "onnxruntime", "openvino")


def read() -> dict[str, Any]:
    """Return the outcome so far; an empty one where there is none."""
    if not OUTCOME.is_file():
        return {"rows": []}
    document: dict[str, Any] = json.loads(OUTCOME.read_text(encoding="utf-8"))
    return document


def one(name: str, format_: str, side: int) -> dict[str, Any]:
    """Return the outcome of a network; what is raised is an outcome too."""
    start = time.monotonic()
    try:
        row = folded(name, side) if format_ == "folding" else swept(name, format_, side)
    except Exception as error:
        row = {
            "network": name,
            "format": format_,
            "answer": "error",
            "reason": f"{type(error).__name__}: {error}"[:500],
        }
    return row | {"seconds": round(time.monotonic() - start, 1)}


def page(document: dict[str, Any]) -> str:
    """Return the outcome as a table, a network per row."""
    rows = {(row["network"], row["format"]): row for row in document["rows"]}
    names = [name for name in list_models() if any((name, each) in rows for each in FORMATS)]
    passed = [row for row in document["rows"] if row["answer"] == "passes"]
    lines = [
        "# Exports of every network",
        "",
        f"Written by `proofs/export_sweep.py`: {len(passed)} of {len(document['rows'])} exports pass, and "
        f"{len(names)} of {document['networks']} networks of the catalog were swept. Random weights and statistics; "
        "golden images in batches of 1, 2, 7 and 32, each answer as eager gives it. Cells: the largest difference of "
        "two outputs over the largest of eager, at most 1e-4; *folding*: the same in float64 between the network and "
        f"itself with batch normalisation folded, at most 1e-6. Processor: {document['processor']}. Versions are in "
        "`export_sweep.json`.",
        "",
        "| network | side | folded | folding | ONNX | OpenVINO |",
        "|---|---|---|---|---|---|",
    ]
    for name in names:
        cells = [_cell(rows.get((name, each))) for each in FORMATS]
        known = next(rows[name, each] for each in FORMATS if (name, each) in rows)
        share = known.get("folding", "–").partition(" batch")[0]
        lines.append(f"| `{name}` | {known.get('side', '–')} | {share} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "not swept"
    if row["answer"] == "error":
        return f"**error**: {row['reason'][:60]}"
    return f"{row['error']:.1e}" if row["answer"] == "passes" else f"**fails**: {row['error']:.1e}"


def main() -> int:
    """Sweep what is due, and return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pattern", nargs="?", default="*")
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    # The smallest first: what is stopped has swept as many as there was time for.
    began, names = time.monotonic(), sorted(list_models(options.pattern), key=lambda name: (counts(name) or (0, 0))[1])
    where = surroundings()
    versions = {key: where[key] for key in VERSIONS if key in where}
    rows = [row for row in read()["rows"] if row["versions"] == versions and row["answer"] == "passes"]
    done = {(row["network"], row["format"]) for row in rows}
    for name in names:
        for format_ in FORMATS:
            if (name, format_) in done or time.monotonic() - began > options.seconds:
                continue
            row = one(name, format_, options.side)
            rows.append(row | {"versions": versions})
            print(f"{name} {format_}: {row['answer']} {row.get('error', row.get('reason'))}", file=sys.stderr)
            document = {"processor": where["processor"], "networks": len(list_models()), "rows": rows}
            write_text(OUTCOME, json.dumps(document, indent=1) + "\n")
            write_text(OUTCOME.with_suffix(".md"), page(document))
    failed = [row for row in rows if row["answer"] != "passes"]
    known = {(row["network"], row["format"]) for row in rows}
    left = [(name, each) for name in names for each in FORMATS if (name, each) not in known]
    print(f"{len(rows)} outcomes, {len(failed)} failed, {len(left)} left", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
