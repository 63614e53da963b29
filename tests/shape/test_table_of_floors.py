"""The table of floors in CONTRIBUTING.md names every package and wing."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"\| \d \| `(\w+)` \| .* \|(.*)\|")


def test_every_package_and_its_wings_have_their_row() -> None:
    rows = [ROW.fullmatch(line) for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines()]
    stated = {row[1]: set(re.findall(r"`(\w+)`", row[2])) for row in rows if row}
    packages = sorted(path.parent for path in (ROOT / "src/residua").glob("*/__init__.py"))
    built = {each.name: {path.parent.name for path in each.glob("*/__init__.py")} for each in packages}
    assert stated == {name: wings for name, wings in built.items() if name not in ("recipes",)}
