"""Proof: every network of the catalog exports to ONNX and OpenVINO and gives eager's answers there.

    .venv/bin/python proofs/export_sweep.py [PATTERN] [--side 64] [--seconds N]

Each network gets random weights and statistics and is exported. The files are opened and run on golden images in
batches of 1, 2, 7 and 32. The outcome goes to docs/proofs/export_sweep.json after each network, with the versions that
it holds for. What stands there for the current versions is not repeated, so that the sweep can be stopped and resumed.
Exit 1 when a network failed.
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

from exporting.sweep import SIDE, swept  # noqa: E402 - it stands beside the tests that use it
from residua._base.files import write_text  # noqa: E402
from residua.exporting.certificate import surroundings  # noqa: E402
from residua.specs.catalog import list_models  # noqa: E402

OUTCOME = ROOT / "docs" / "proofs" / "export_sweep.json"
FORMATS = ("onnx", "openvino")
VERSIONS = ("residua", "torch", "onnx", "onnxscript", "onnxruntime", "openvino")


def read() -> dict[str, Any]:
    """Return the outcome so far; an empty one where there is none."""
    if not OUTCOME.is_file():
        return {"rows": []}
    document: dict[str, Any] = json.loads(OUTCOME.read_text(encoding="utf-8"))
    return document


def main() -> int:
    """Sweep what is due, and return the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pattern", nargs="?", default="*")
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    began, names = time.monotonic(), list_models(options.pattern)
    where = surroundings()
    versions = {key: where[key] for key in VERSIONS if key in where}
    rows = [row for row in read()["rows"] if row["versions"] == versions]
    done = {(row["network"], row["format"]) for row in rows}
    for name in names:
        for format_ in FORMATS:
            if (name, format_) in done or time.monotonic() - began > options.seconds:
                continue
            row = swept(name, format_, options.side)
            rows.append(row | {"versions": versions})
            print(f"{name} {format_}: {row['answer']}, error {row['error']:.1e}", file=sys.stderr)
            document = {"processor": where["processor"], "networks": len(list_models()), "rows": rows}
            write_text(OUTCOME, json.dumps(document, indent=1) + "\n")
    failed = [row for row in rows if row["answer"] != "passes"]
    known = {(row["network"], row["format"]) for row in rows}
    left = [(name, each) for name in names for each in FORMATS if (name, each) not in known]
    print(f"{len(rows)} exports, {len(failed)} failed, {len(left)} left", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
