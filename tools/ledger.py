"""Write docs/ledger.md and docs/ledger.json: what `residua verify --peer all` finds of every network."""

import json
import sys
from pathlib import Path

from residua._base.files import write_text
from residua._base.plain import plain
from residua.specs.published import conventions
from residua.verification.peers import PEERS
from residua.verification.table import SIGNS, paper_cells, parity_cell, record_cells, remarks, verdict
from residua.verification.verify import Verification, verify

DOCS = Path(__file__).parents[1] / "docs"


def main() -> int:
    found = verify(peers=tuple(PEERS), progress=lambda done, total: print(f"{done}/{total}", file=sys.stderr))
    if found.absent:
        print(f"The ledger needs every peer. Install: {'; '.join(found.absent.values())}", file=sys.stderr)
        return 2
    write_text(DOCS / "ledger.json", json.dumps(plain(found.to_dict()), indent=1, ensure_ascii=False) + "\n")
    write_text(DOCS / "ledger.md", page(found))
    print(f"{len(found.receipts)} networks, {sum(not r.ok for r in found.receipts)} with differences: {DOCS}/ledger.md")
    return 0 if found.ok else 1


def page(found: Verification) -> str:
    """Return the ledger in Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    limits = "; ".join(
        f"{peer.name} in {str(peer.precision).removeprefix('torch.')}, at most {peer.limit:.0e}"
        for peer in PEERS.values()
    )
    head = ["network", "paper", "MACs", "published", "MACs", "counted", "ours", "MACs", *found.peers, ""]
    lines = [
        "# Ledger",
        "",
        "Made by `make ledger`; not written by hand. The same, with sources, in `ledger.json`; one network anew: "
        "`residua verify NAME`.",
        "",
        f"Versions: {versions}.",
        "",
        *(f"- **{key}**: {text}." for key, text in conventions().items()),
        "- **paper**: the figure as the paper prints it, rounded; papers call MACs FLOPs.",
        "- **peers**: the largest difference of two logits over the largest logit, the peer's network with random "
        f"weights, all statistics and biases included, converted to ours: {limits}.",
        *(f"- {sign}: {text}." for sign, text in SIGNS.items()),
        "",
        f"| {' | '.join(head)} |",
        f"|{'|'.join(['---', *['--:'] * (len(head) - 2), '---'])}|",
    ]
    for receipt in found.receipts:
        parity = {entry.peer: entry for entry in receipt.parity}
        cells = [receipt.name, *paper_cells(receipt), *record_cells(receipt)]
        cells += [f"{receipt.counts.params:,}", f"{receipt.counts.macs:,}"]
        cells += [parity_cell(parity.get(peer)) for peer in found.peers]
        lines.append(f"| {' | '.join([*cells, verdict(receipt)])} |")
    lines += ["", "## Beside the rows", ""]
    for receipt in found.receipts:
        record = receipt.counts.record
        said = [*remarks(receipt), f"Counted on {record.source}." if record else "No published count."]
        lines.append(f"- **{receipt.name}** ({receipt.paper}): {' '.join(_sentence(line) for line in said)}")
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else text + "."


if __name__ == "__main__":
    raise SystemExit(main())
