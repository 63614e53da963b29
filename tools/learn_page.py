"""Write docs/learn.md and docs/learn/*.svg from the folder that `residua learn` has written: learn_page.py FOLDER."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def main(folder: Path, docs: Path = DOCS) -> None:
    pictures = docs / "learn"
    pictures.mkdir(exist_ok=True)
    for former in pictures.glob("*.svg"):
        former.unlink()
    for picture in sorted((folder / "figures").glob("*.svg")):
        shutil.copy(picture, pictures / picture.name)
    text = (folder / "learn.md").read_text(encoding="utf-8").replace("](figures/", "](learn/")
    (docs / "learn.md").write_text(text, encoding="utf-8")
    print(f"{docs / 'learn.md'} with {len(list(pictures.glob('*.svg')))} pictures")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
