"""Receipts as lines of text, for the terminal and for the ledger."""

from __future__ import annotations

from typing import NamedTuple

from residua._base.words import agree, some
from residua.verification.parity import ParityReceipt
from residua.verification.peers import Peer
from residua.verification.verify import Receipt

SIGNS = {
    "✓": "every count equals the record and every comparison holds",
    "≈": "the same, and the paper's own figure is another, for the reason that stands with it",
    "–": "nobody has published this network's size, and no peer that was asked has it",
    "✗": "something differs",
}


def verdict(receipt: Receipt) -> str:
    """Return the sign of a network's receipts."""
    if not receipt.ok:
        return "✗"
    if receipt.counts.explained:
        return "≈"
    return "✓" if receipt.counts.record or receipt.parity else "–"


def record_cells(receipt: Receipt) -> tuple[str, str, str]:
    """Return the record's parameters and MACs, and how they were counted."""
    record = receipt.counts.record
    if record is None:
        return "–", "–", "–"
    graph = ", training" if record.graph == "training" else ""
    return f"{record.params:,}", f"{record.macs:,}", f"{record.status}{graph}"


def paper_cells(receipt: Receipt) -> tuple[str, str]:
    """Return the paper's own parameters and MACs, as printed."""
    paper = receipt.counts.record.paper if receipt.counts.record else None
    return (paper.params or "–", paper.macs or "–") if paper else ("–", "–")


def parity_cell(receipt: ParityReceipt | None) -> str:
    """Return one comparison: the relative error."""
    return "–" if receipt is None else f"{receipt.error:.0e}" if receipt.error else "0"


def reading(peer: Peer) -> str:
    """Return what a peer is that is no library."""
    return f"an independent reading of the {peer.graph}, not the library itself"


class Remark(NamedTuple):
    """What must be said beside a network's row.

    Attributes:
        sign: of `SIGNS`; " " for a note that decides nothing.
        text: one sentence or more.
    """

    sign: str
    text: str


def remarks(receipt: Receipt) -> list[Remark]:
    """Return what must be said beside a network's row: differences first, then reasons, then notes."""
    record, explained = receipt.counts.record, receipt.counts.explained
    lines = [Remark("✗", difference) for difference in receipt.differences]
    lines += [Remark("≈", explained)] if explained else []
    if receipt.lacking:
        peers = some(receipt.lacking)
        verb = agree(len(receipt.lacking), "has", "have")
        lines.append(Remark(" ", f"{peers} {verb} no such network; only counts are compared"))
    return [*lines, Remark(" ", record.note)] if record and record.note else lines
