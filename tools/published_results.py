"""Write docs/results/published.json: published accuracies of the networks that the catalog has.

    .venv/bin/python tools/published_results.py ../shared/reference/results.json

Rows whose source was not seen are left out. Results of networks that we lack are in the file too, with the reason.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from published_rules import ensemble_of, form_of, network_of

from residua._base.files import write_text

TARGET = Path(__file__).parents[1] / "docs/results/published.json"
SEEN = ("source seen", "transcription seen")
_VIEWS = (
    (r"multi-scale", "multi-scale"),
    (r"(\d+)-crop|(\d+) (?:crops|patches)|, (\d+) crop\(s\)", "{}-crop"),
    (r"dense", "dense"),
)


def convert(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the document, rows of top-1 or top-5 errors in %.

    `results` are of the catalog's networks, `forms` of these with fields edited, `ensembles` of several of them;
    `unmapped` has the others with reasons.
    """
    results: list[dict[str, Any]] = []
    forms: list[dict[str, Any]] = []
    ensembles: list[dict[str, Any]] = []
    unmapped: list[dict[str, Any]] = []
    for row in rows:
        if row["verified"] not in SEEN:
            continue
        kept = {key: row[key] for key in ("architecture", "dataset", "protocol", "source")}
        found = network_of(**{key: row[key] for key in ("architecture", "source", "dataset", "protocol")})
        metrics = errors(row["metric"], row["value"])
        form = form_of(row["architecture"], row["source"])
        ensemble = ensemble_of(row["architecture"], row["source"])
        if metrics and (form or ensemble):
            for metric, value in metrics.items():
                measured = {"metric": metric, "value": value, "views": views(row["protocol"])} | kept
                if form:
                    forms.append({"network": form[0], "edits": form[1]} | measured)
                elif ensemble:
                    ensembles.append({"members": ensemble.members, "others": ensemble.others} | measured)
            continue
        if isinstance(found, str) or not metrics:
            why = found if isinstance(found, str) else "no figure"
            unmapped.append({**kept, "metric": row["metric"], "value": str(row["value"]), "why": why})
            continue
        name, kind = found
        for metric, value in metrics.items():
            results.append(
                {"network": name, "kind": kind, "metric": metric, "value": value, "views": views(row["protocol"])}
                | kept
            )
    return {
        "what": "published errors in %, of networks that the catalog has; accuracies are turned into errors",
        "made_by": "tools/published_results.py",
        "results": results,
        "forms": forms,
        "ensembles": ensembles,
        "unmapped": unmapped,
    }


def errors(metric: str, value: object) -> dict[str, float]:
    """Return "top-1 error" and "top-5 error" in % of a printed value, the validation set's where it gives two sets'.

    Raises:
        ValueError: a metric that is none of top-1 and top-5 errors and accuracies.
    """
    found = re.fullmatch(r"(?:test )?(error|accuracy) %|(top-[15](?:/top-5)?) (error|accuracy) %", metric)
    if not found:
        raise ValueError(f"metric {metric!r}")
    accuracy = "accuracy" in metric
    names = [f"{part} error" for part in (found[2] or "top-1").split("/")]
    numbers = re.match(r"\d+(?:\.\d+)?(?:/\d+(?:\.\d+)?)*(?= \(val\)|, |$)", str(value))
    parts = numbers[0].split("/") if numbers else []
    if len(parts) != len(names):
        return {}
    # In decimals: 100 - 76.13 is 23.87, as it would be printed.
    return {
        name: float(100 - Decimal(part) if accuracy else Decimal(part)) for name, part in zip(names, parts, strict=True)
    }


def views(protocol: str) -> str:
    """Return how many views of an image a protocol asks: "single", "10-crop", "dense", "multi-scale"."""
    for pattern, name in _VIEWS:
        found = re.search(pattern, protocol)
        if found:
            number = next((group for group in found.groups() if group), "")
            return "single" if number == "1" else name.format(number)
    return "single"


def main(words: list[str]) -> int:
    if len(words) != 1 or not Path(words[0]).is_file():
        print("Wanted: tools/published_results.py RESULTS.json, the table of published results", file=sys.stderr)
        return 2
    document = convert(json.loads(Path(words[0]).read_text("utf-8")))
    write_text(TARGET, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(document['results'])} results, {len(document['unmapped'])} of no network of ours: {TARGET}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
