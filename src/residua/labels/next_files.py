"""What `label_next` chose, as a CSV file to fill in, a contact sheet, or a folder of copies."""

from __future__ import annotations

import csv
import io
import shutil
from functools import cache
from pathlib import Path

from jinja2 import Environment

from residua._base.errors import InputError
from residua._base.files import write_text, writing
from residua._version import __version__
from residua.data.decode import BadImage
from residua.figures import pages
from residua.figures.pictures import thumbnail_uri
from residua.inference.stream import prepared
from residua.labels.label_next import NextLabels
from residua.weights.run import Run

COLUMNS = ("path", "label", "suggested", "probability", "second", "margin")
TABLE = "labels.csv"
"""The file of a folder of copies in which labels are written."""


def check_next(out: Path) -> None:
    """Refuse a place that cannot take what is chosen, before the work.

    Raises:
        InputError: it exists already and may hold labels; it stands in no folder.
    """
    if out.exists() and not (out.is_dir() and not out.suffix and not any(out.iterdir())):
        raise InputError(f"out={out}, which exists", "a new file or folder", "Give another name")
    if not out.absolute().parent.is_dir():
        raise InputError(f"out={out}", "a name in a folder that exists", "Create the folder, or give another path")


def write_next(out: Path, run: Run, chosen: NextLabels) -> None:
    """Write what was chosen: a .csv with an empty column `label`, a contact sheet .html, else a folder of copies.

    Copies have their rank before their name, and `labels.csv` beside them names them.
    """
    suffix = out.suffix.lower()
    if suffix == ".csv":
        write_text(out, _table(chosen, [each.path for each in chosen.suggestions]))
    elif suffix == ".html":
        write_text(out, _page(run, chosen))
    else:
        names = [f"{rank:04}-{Path(each.path).name}" for rank, each in enumerate(chosen.suggestions, 1)]
        with writing(out):
            out.mkdir(exist_ok=True)
            for each, name in zip(chosen.suggestions, names, strict=True):
                shutil.copyfile(each.path, out / name)
        write_text(out / TABLE, _table(chosen, names))


def _table(chosen: NextLabels, names: list[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for each, name in zip(chosen.suggestions, names, strict=True):
        writer.writerow([name, "", each.suggested, f"{each.probability:.6f}", each.second, f"{each.margin:.6f}"])
    return text.getvalue()


def _page(run: Run, chosen: NextLabels) -> str:
    spec = run.preprocess_spec
    rows = []
    for each in chosen.suggestions:
        try:
            rows.append((each, thumbnail_uri(prepared(Path(each.path), spec))))
        except BadImage:
            rows.append((each, ""))
    return (
        _templates()
        .get_template("next.html.j2")
        .render(
            chosen=chosen,
            rows=rows,
            run=run.folder.resolve().name,
            network=run.spec.name,
            pixelated=max(spec.size) <= 64,
            version=__version__,
        )
    )


@cache
def _templates() -> Environment:
    templates = pages.environment("residua.labels")
    templates.globals.update(number=lambda value: f"{value:,}", percent=lambda rate: f"{100 * rate:.0f}%")
    return templates
