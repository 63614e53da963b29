"""The receipts of docs/ledger.json: read, kept while they hold, repeated where code or versions differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import residua
from residua._base.console import Progress
from residua._base.files import write_text
from residua._base.plain import plain
from residua.specs.catalog import list_models
from residua.specs.published import PaperFigure, Record
from residua.verification.counts import CountReceipt
from residua.verification.parity import ParityReceipt
from residua.verification.peers import PEERS
from residua.verification.verify import Receipt, verify
from residua.weights.bundle.value import versions

# What a network's counts and logits depend on, under src/residua.
CODE = (
    *("specs", "layers", "families", "anatomy", "verification", "weights/sources"),
    *("weights/convert.py", "weights/state_diff.py", "weights/peers"),
)


@dataclass(frozen=True)
class Entry:
    """A receipt with its versions and sources.

    Attributes:
        receipt: counts and comparisons of one network.
        versions: of Residua, torch, Python and every peer.
        code: SHA-256 of the sources that the receipt depends on.
    """

    receipt: Receipt
    versions: dict[str, str]
    code: str


def code_hash(root: Path | None = None) -> str:
    """Return the SHA-256 of the sources in `CODE`, names included."""
    root = root or Path(residua.__file__).parent
    digest = hashlib.sha256()
    for part in CODE:
        path = root / part
        if not path.exists():
            raise FileNotFoundError(f"{path}: CODE names it")
        files = [path] if path.is_file() else [*path.rglob("*.py"), *path.rglob("*.json")]
        for file in sorted(files):
            digest.update(f"{file.relative_to(root)}\0{file.stat().st_size}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def current_versions() -> dict[str, str]:
    """Return the versions that a receipt made now would carry."""
    return versions() | {name: peer.version for name, peer in PEERS.items()}


def read(path: Path) -> dict[str, Entry]:
    """Return the entries of a ledger by name, none where there is no file yet."""
    if not path.is_file():
        return {}
    document = json.loads(path.read_text("utf-8"))
    return {row["name"]: Entry(_receipt(row), row["versions"], row["code"]) for row in document["networks"]}


def write(path: Path, entries: dict[str, Entry]) -> None:
    """Write the entries of networks that are listed, in the catalog's order, atomically."""
    rows = [_row(entries[name]) for name in list_models() if name in entries]
    document = {"ok": all(row["ok"] for row in rows), "peers": list(PEERS), "networks": rows}
    write_text(path, json.dumps(plain(document), indent=1, ensure_ascii=False) + "\n")


def renew(
    path: Path, names: Sequence[str] = (), *, everything: bool = False, progress: Progress | None = None
) -> dict[str, Entry]:
    """Repeat the receipts that no longer hold, and write the file after each: a stop loses one network.

    A receipt holds while it found no difference and was made with the versions that are installed and the sources
    that are there.

    Args:
        path: of the ledger.
        names: only these networks; none: every listed one.
        everything: repeat them even where they hold.
        progress: called with (networks done, networks in all).

    Returns:
        Every entry of the ledger, those that were kept included.
    """
    entries, code, installed = read(path), code_hash(), current_versions()
    wanted = list(names) or list_models()
    due = [name for name in wanted if everything or name not in entries or not _holds(entries[name], installed, code)]
    for done, name in enumerate(due):
        if progress:
            progress(len(wanted) - len(due) + done, len(wanted))
        found = verify([name], peers=tuple(PEERS))
        entries[name] = Entry(found.receipts[0], found.versions, code)
        write(path, entries)
    if progress:
        progress(len(wanted), len(wanted))
    return entries


def _holds(entry: Entry, installed: dict[str, str], code: str) -> bool:
    return entry.receipt.ok and entry.versions == installed and entry.code == code


def _row(entry: Entry) -> dict[str, Any]:
    receipt = entry.receipt
    row: dict[str, Any] = plain(receipt)
    row |= {"ok": receipt.ok, "differences": list(receipt.differences)}
    row["counts"] |= {"ok": receipt.counts.ok, "flops": 2 * receipt.counts.macs}
    for cells, parity in zip(row["parity"], receipt.parity, strict=True):
        cells["ok"] = parity.ok
    return row | {"versions": entry.versions, "code": entry.code}


def _receipt(row: dict[str, Any]) -> Receipt:
    counts = row["counts"]
    record = counts["record"]
    if record is not None:
        paper = record["paper"]
        record = Record(
            **record | {"input": tuple(record["input"]), "paper": paper if paper is None else PaperFigure(**paper)}
        )
    return Receipt(
        name=row["name"],
        paper=row["paper"],
        counts=CountReceipt(
            counts["params"],
            counts["macs"],
            counts["graph"],
            record,
            tuple(counts["differences"]),
            counts["explained"],
        ),
        parity=tuple(_parity(cells) for cells in row["parity"]),
        refused=row["refused"],
    )


def _parity(cells: dict[str, Any]) -> ParityReceipt:
    fields = {key: value for key, value in cells.items() if key != "ok"}
    fields["input"] = tuple(fields["input"])
    for key in ("error", "response"):
        if fields[key] is None:  # JSON has no infinity and no NaN
            fields[key] = float("inf") if key == "error" else float("nan")
    return ParityReceipt(**fields)
