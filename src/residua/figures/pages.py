"""Pages: one offline HTML file each, of templates, the shared style sheet and the palette."""

from __future__ import annotations

from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from residua._base.errors import InputError
from residua.figures.palette import variables

_GENERATOR = b'<meta name="generator" content="Residua">'  # near the beginning of every page


def environment(package: str) -> Environment:
    """Return what renders the templates in the package's folder `templates`; each may include `style.css`.

    Every name from outside is escaped, and a missing one is an error.
    """
    loader = ChoiceLoader([PackageLoader(each, "templates") for each in (package, "residua.figures")])
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.globals["palette"] = Markup(variables())
    templates.filters["unbroken"] = unbroken
    return templates


def unbroken(command: str) -> Markup:
    """Return a command for a page: lines break between its words, and never at the hyphens of its flags."""
    return Markup(" ").join(Markup('<span class="word">{}</span>').format(word) for word in command.split(" "))


def check_page(path: Path) -> None:
    """Refuse to replace a page that Residua did not write.

    Raises:
        InputError: the file holds something else.
    """
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            head = file.read(2048)
    except OSError:
        head = b""
    if _GENERATOR not in head:
        raise InputError(f"{path}, which holds something else", "a new file, or a page to replace", "Give another name")
