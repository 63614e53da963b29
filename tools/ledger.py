"""Write docs/ledger.json and docs/ledger.md: counts and logits of every network, and accuracies beside the papers'.

    .venv/bin/python tools/ledger.py [NAME...] [--all] [--page]

Receipts that still hold are kept: same versions, same sources, no difference found. The file is written after each
network, so that an interrupted run continues where it was. Exit 1 when a receipt has a difference.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import ledger_page
import ledger_receipts

from residua._base.errors import InputError
from residua._base.files import write_text
from residua.specs.catalog import list_models
from residua.verification.peers import PEERS, absent

DOCS = Path(__file__).parents[1] / "docs"


def main(words: list[str] | None = None, docs: Path = DOCS) -> int:
    parser = argparse.ArgumentParser(description="Write docs/ledger.json and docs/ledger.md.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="listed networks; none: all")
    parser.add_argument("--all", action="store_true", help="repeat receipts that still hold, too")
    parser.add_argument("--page", action="store_true", help="the page only, from the JSON that is there")
    asked = parser.parse_args(words)
    try:
        _refuse(asked.names, asked.page, docs)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    path = docs / "ledger.json"
    try:
        if not asked.page:
            ledger_receipts.renew(path, asked.names, everything=asked.all, progress=_say)
    finally:  # whether stopped or not, the page shows the receipts
        write_text(docs / "ledger.md", ledger_page.page(docs))
    entries = ledger_receipts.read(path)
    failed = [name for name, entry in entries.items() if not entry.receipt.ok]
    print(f"{len(entries)} networks, {len(failed)} with differences: {docs}/ledger.md")
    for name in failed:
        print(f"{name}: {'; '.join(entries[name].receipt.differences)}")
    return 1 if failed else 0


def _refuse(names: list[str], page: bool, docs: Path) -> None:
    unknown = sorted(set(names) - set(list_models()))
    if unknown:
        raise InputError(f"networks {', '.join(unknown)}", "names that are listed", "See them all with: residua models")
    if page and not (docs / "ledger.json").is_file():
        raise InputError(f"no {docs}/ledger.json", "receipts to make the page from", "Make them with: make ledger")
    missing = {} if page else absent(tuple(PEERS))
    if missing:
        raise InputError(f"no {', '.join(missing)}", "every peer", f"Install: {'; '.join(missing.values())}")


def _say(done: int, total: int) -> None:
    print(f"{done}/{total}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
