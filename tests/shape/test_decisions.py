"""The index of decisions lists each, once, under its own title."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"
STATUS = r"stands|replaced by \[\d{4}\]\(\S+\).*"
ROW = re.compile(rf"^\| \[(\d{{4}})\]\((\S+)\) \| (.+) \| (\d{{4}}-\d\d-\d\d) \| ({STATUS}) \|$")


def rows() -> list[tuple[str, ...]]:
    lines = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("| [")]
    found = [match.groups() for line in table if (match := ROW.match(line))]
    assert len(found) == len(table), "a row of the index is malformed"
    return found


def test_every_decision_is_listed_in_order() -> None:
    files = sorted(path.name for path in FOLDER.glob("[0-9]*.md"))
    assert [name for _, name, *_ in rows()] == files
    assert len({name[:4] for name in files}) == len(files), "a number is used twice"


def test_rows_are_those_of_the_files() -> None:
    for number, name, title, _, status in rows():
        assert name.startswith(f"{number}-")
        heading = (FOLDER / name).read_text(encoding="utf-8").splitlines()[0]
        assert re.sub(r"^# (\d{4}[:. ]*)?", "", heading) == title, f"{name}: its title changed"
        for successor in re.findall(r"\]\((\S+)\)", status):
            assert (FOLDER / successor).is_file(), f"{name} is replaced by a missing file"
