"""docs/ledger.md from committed JSON: receipts of counts and logits, then accuracies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import accuracy_table
import ledger_beyond
from ledger_receipts import Entry, read
from our_results import read_outcomes

from residua.specs.catalog import list_models
from residua.specs.published import conventions
from residua.verification.peers import PEERS
from residua.verification.table import SIGNS, paper_cells, parity_cell, reading, record_cells, remarks, verdict


def page(docs: Path) -> str:
    """Return the ledger in Markdown, made from `ledger.json` and `results/` in the folder `docs`."""
    published = json.loads((docs / "results/published.json").read_text("utf-8"))
    lines = [
        "# Ledger",
        "",
        "Made by `make ledger`, the page alone by `make ledger-page`; not written by hand. The same, with sources, in "
        "`ledger.json` and `results/`. Repeat one network's counts and logits: `residua verify NAME`.",
        "",
        "## Counts and logits",
        "",
        *receipts(read(docs / "ledger.json")),
        "",
        "## Accuracy",
        "",
        *accuracy_table.lines(published["results"], read_outcomes(docs / "results/ours")),
        "",
        *ledger_beyond.lines(published),
    ]
    return "\n".join(lines) + "\n"


def receipts(entries: Mapping[str, Entry]) -> list[str]:
    """Return the table of counts and logits and the remarks beside it."""
    limits = "; ".join(
        f"{peer.name} in {str(peer.precision).removeprefix('torch.')}, at most {peer.limit:.0e}"
        for peer in PEERS.values()
    )
    head = ["network", "paper", "MACs", "published", "MACs", "counted", "ours", "MACs", *PEERS, ""]
    missing = [name for name in list_models() if name not in entries]
    lines = [
        *_versions(entries),
        "",
        *(f"- **{key}**: {text}." for key, text in conventions().items()),
        "- **paper**: the figure as the paper prints it, rounded; papers call MACs FLOPs.",
        "- **peers**: the largest difference of two logits over the largest logit, the peer's network with random "
        f"weights, all statistics and biases included, converted to ours: {limits}.",
        *(f"- **{peer.name}**: {reading(peer)}." for peer in PEERS.values() if peer.graph),
        *(f"- {sign}: {text}." for sign, text in SIGNS.items()),
        "",
        *([f"Not compared yet: {', '.join(missing)}.", ""] if missing else []),
        f"| {' | '.join(head)} |",
        f"|{'|'.join(['---', *['--:'] * (len(head) - 2), '---'])}|",
    ]
    found = [entry.receipt for entry in entries.values()]
    for receipt in found:
        parity = {entry.peer: entry for entry in receipt.parity}
        cells = [receipt.name, *paper_cells(receipt), *record_cells(receipt)]
        cells += [f"{receipt.counts.params:,}", f"{receipt.counts.macs:,}"]
        cells += [parity_cell(parity.get(peer)) for peer in PEERS]
        lines.append(f"| {' | '.join([*cells, verdict(receipt)])} |")
    lines += ["", "### Beside the rows", ""]
    for receipt in found:
        record = receipt.counts.record
        said = [
            *(remark.text for remark in remarks(receipt)),
            f"Counted on {record.source}." if record else "No published count.",
        ]
        lines.append(f"- **{receipt.name}** ({receipt.paper}): {' '.join(_sentence(line) for line in said)}")
    return lines


def _versions(entries: Mapping[str, Entry]) -> list[str]:
    """Return the versions that receipts were made with, one line per set of them, that of most networks first."""
    sets: dict[str, list[str]] = {}
    for name, entry in entries.items():
        sets.setdefault(", ".join(f"{key} {version}" for key, version in entry.versions.items()), []).append(name)
    if len(sets) <= 1:
        return [f"Versions: {text}." for text in sets]
    (most, _), *others = sorted(sets.items(), key=lambda item: -len(item[1]))
    return [f"- {most}: all but those below.", *(f"- {text}: {', '.join(names)}." for text, names in others)]


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."
