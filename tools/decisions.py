"""Write docs/decisions/README.md: every decision with title, date and status. What is listed keeps date and status."""

from __future__ import annotations

import datetime
import re
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "decisions"
INDEX = FOLDER / "README.md"
_ROW = re.compile(r"^\| \[\d{4}\]\((\S+)\) \| .+ \| (\d{4}-\d\d-\d\d) \| (.+) \|$", re.MULTILINE)


def main() -> None:
    text = INDEX.read_text(encoding="utf-8")
    known = {name: (date, status) for name, date, status in _ROW.findall(text)}
    rows = []
    for path in sorted(FOLDER.glob("[0-9]*.md")):
        date, status = known.get(path.name) or (_date(path), "stands")
        title = re.sub(r"^# (\d{4}[:. ]*)?", "", path.read_text(encoding="utf-8").splitlines()[0])
        rows.append(f"| [{path.name[:4]}]({path.name}) | {title} | {date} | {status} |")
    head = text[: text.index("|---")].rstrip()
    INDEX.write_text(f"{head}\n|---|---|---|---|\n" + "\n".join(rows) + "\n", encoding="utf-8")
    print(f"{len(rows)} decisions listed in {INDEX}")


def _date(path: Path) -> str:
    """Return the day of the file's first commit; today where there is none yet."""
    command = ["git", "log", "--diff-filter=A", "--follow", "--format=%ad", "--date=short", "--", path.name]
    days = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True).stdout.split()
    return days[-1] if days else datetime.date.today().isoformat()


if __name__ == "__main__":
    main()
