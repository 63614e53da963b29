"""`residua verify`: one call of `residua.verify`."""

from __future__ import annotations

from typing import Literal

from residua._base.console import progress_bar
from residua._base.errors import InputError
from residua._base.words import counted
from residua.cli.edits import Edits
from residua.cli.show import Switch, note, print_json, say
from residua.cli.tables import print_table


def verify(
    *models: str,
    peer: tuple[Literal["torchvision", "timm", "keras", "slim", "all", "none"], ...] | None = None,
    set_: Edits = (),
    json: Switch = False,
) -> int:
    """Count networks against what was published, and compare their logits with the peers that are installed.

    Parameters and MACs (multiply-accumulates of convolutions and linear layers, one image; FLOPs are twice that) must
    equal the published ones. A peer's network gets random weights, every statistic and bias included; converted, they
    must give the same logits. The exit code is 1 when something differs. Edited networks (--set) are compared with the
    publications and peers of the unedited ones: what the edit changes is a difference. A peer whose weights do not fit
    the edited network has no such network; counts alone are compared then.

    Parameters
    ----------
    models
        Names or shell patterns; left out: every network.
    peer
        torchvision, timm, keras, slim (its published graph), all or none, or several; left out: all where networks are
        named, else none.
    json
        Print one JSON document.
    """
    from residua.verification.peers import PEERS
    from residua.verification.table import SIGNS, paper_cells, parity_cell, reading, record_cells, remarks, verdict
    from residua.verification.verify import verify as run_verification

    peers = None
    if peer is not None:
        others = [name for name in peer if name != "none"]
        if others and len(others) < len(peer):
            raise InputError(f"peer=none beside {', '.join(others)}", "none alone, or peers", "Leave out one of them")
        peers = tuple(PEERS) if "all" in peer else tuple(others)
    with progress_bar("Verifying", "networks") as progress:
        outcome = run_verification(models, peers=peers, edits=set_, progress=progress)
    if json:
        print_json(outcome.to_dict())
        return 0 if outcome.ok else 1
    asked = [name for name in outcome.peers if name not in outcome.absent]
    rows = []
    for receipt in outcome.receipts:
        parity = {entry.peer: entry for entry in receipt.parity}
        counts = receipt.counts
        ours = (f"{counts.params:,}", f"{counts.macs:,}")
        errors = (parity_cell(parity.get(name)) for name in asked)
        rows.append((receipt.title, *ours, *record_cells(receipt), *paper_cells(receipt), *errors, verdict(receipt)))
    columns = ("network", "parameters", "MACs", "published", "MACs", "counted", "paper", "MACs", *asked, "")
    print_table(columns, rows, right=(1, 2, 3, 4, 6, 7))
    signs = {row[-1] for row in rows}
    say("\n" + "\n".join(f"{sign}  {text}" for sign, text in SIGNS.items() if sign in signs))
    compared = {entry.peer for receipt in outcome.receipts for entry in receipt.parity}
    for name in asked:
        if name in compared and PEERS[name].graph:
            say(f"{name}  {reading(PEERS[name])}")
    for receipt in outcome.receipts:
        if models or verdict(receipt) in "≈✗":
            for remark in remarks(receipt):
                say(f"{remark.sign}  {receipt.title}: {remark.text}")
    if not outcome.peers:
        note("Logits were not compared. All of them, in some minutes: residua verify --peer all")
    for name, command in outcome.absent.items():
        note(f"{name} is not installed and was not asked: {command}")
    lacking = {name for receipt in outcome.receipts for name in receipt.lacking}
    for name in asked if peer else ():
        if name not in compared | lacking:
            note(f"{name} has none of these networks.")
    failed = sum(not receipt.ok for receipt in outcome.receipts)
    note(f"{counted(len(outcome.receipts), 'network')}, {failed} with differences.")
    return 0 if outcome.ok else 1
