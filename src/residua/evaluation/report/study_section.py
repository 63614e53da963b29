"""Studies beside an evaluation: what a finished study's folder holds, checked before it stands in another page.

The words come from study.json. Charts and tables are those of study.html, as the study drew them; of its markup only
what the studies' own charts and tables consist of is taken over, so that a stranger's file brings no script, no style
and no address.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from residua._base.errors import InputError

STUDY_HTML, STUDY_JSON = "study.html", "study.json"
"""What a finished study leaves in its folder."""

_TEXT = {"section", "div", "p", "small", "figure", "figcaption"}
_TABLE = {"table", "caption", "thead", "tbody", "tr", "th", "td"}
_TAGS = _TEXT | _TABLE | {"svg", "g", "title", "text", "line", "path", "rect", "circle"}
_PLACES = {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "width", "height", "d", "viewBox", "transform"}
_ATTRIBUTES = _PLACES | {"class", "role", "aria-label", "tabindex", "scope"}
_ANSWERS = ("yes", "no", "undecided")


@dataclass(frozen=True)
class Studied:
    """A finished study.

    Attributes:
        name: of the study.
        folder: its folder's name.
        form: "quick" or "full".
        question: a sentence.
        source: where the answer was published.
        answer: "yes", "no" or "undecided".
        sentence: the answer with its numbers.
        details: further sentences.
        shows: what the form can show, and what it cannot.
        length: how long the networks were trained; "" where nothing was.
        failed: name of an arm with its seed -> why it gave no result.
        given: the name of its data.
        data_hash: of its data.
        trainings: networks that gave a result.
        seeds: how many of each were asked for.
        weights: SHA-256 of each network.
        command: what repeats it.
        versions: of programs, machine, date.
        charts, tables: markup, cleaned.
    """

    name: str
    folder: str
    form: str
    question: str
    source: str
    answer: str
    sentence: str
    details: tuple[str, ...]
    shows: str
    length: str
    failed: Mapping[str, str]
    given: str
    data_hash: str
    trainings: int
    seeds: int
    weights: tuple[str, ...]
    command: str
    versions: Mapping[str, str]
    charts: Markup = field(repr=False)
    tables: Markup = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return what report.json says of it; all else is in the study's own folder."""
        names = ("name", "folder", "form", "question", "answer", "sentence", "given", "data_hash", "seeds")
        return {name: getattr(self, name) for name in names} | {"details": list(self.details)}


def read_study(folder: Path | str | Studied) -> Studied:
    """Return the finished study in `folder`.

    Raises:
        InputError: there is none, or its files are not as Residua writes them.
    """
    if isinstance(folder, Studied):
        return folder
    folder = Path(folder)
    missing = [name for name in (STUDY_JSON, STUDY_HTML) if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder} without {' and '.join(missing)}",
            "the folder of a finished study",
            "Finish it with the command that it was started with, or begin one: residua study NAME DATA",
        )
    try:
        said = json.loads((folder / STUDY_JSON).read_text(encoding="utf-8"))
        page = (folder / STUDY_HTML).read_text(encoding="utf-8")
        return _studied(said, page, folder.resolve().name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ElementTree.ParseError) as error:
        raise InputError(
            f"the study in {folder}, which cannot be read ({type(error).__name__}: {error})",
            f"{STUDY_JSON} and {STUDY_HTML} as residua study writes them",
            "Repeat the study, or leave it out",
        ) from None


def _studied(said: Any, page: str, folder: str) -> Studied:
    verdict, data = said["verdict"], said["data"]
    if verdict["answer"] not in _ANSWERS:
        raise ValueError(f"the answer {verdict['answer']!r}")
    return Studied(
        name=str(said["study"]),
        folder=folder,
        form=str(said["form"]),
        question=str(said["question"]),
        source=str(said["source"]),
        answer=verdict["answer"],
        sentence=str(verdict["sentence"]),
        details=tuple(map(str, verdict["details"])),
        shows=str(said["shows"]),
        length=str(said["length"]),
        failed={str(name): str(reason) for name, reason in said["failed"].items()},
        given=str(data["given"]),
        data_hash=str(data["hash"]),
        trainings=len(said["results"]),
        seeds=int(said["seeds"]),
        weights=tuple(str(result["weights_sha256"]) for result in said["results"]),
        command=str(said["command"]),
        versions={str(name): str(value) for name, value in said["versions"].items()},
        charts=_part(page, "charts"),
        tables=_part(page, "tables"),
    )


def _part(page: str, name: str) -> Markup:
    """Return what stands in a section of the study's page below its heading; "" where there is no such section."""
    found = re.search(rf'<section id="{name}">\s*<h2>[^<]*</h2>(.*?)</section>', page, re.DOTALL)
    if found is None:
        return Markup("")
    root = ElementTree.fromstring(f"<section>{found[1]}</section>")
    return Markup("").join(_clean(child) for child in root)


def _clean(node: ElementTree.Element) -> Markup:
    if node.tag not in _TAGS or not node.attrib.keys() <= _ATTRIBUTES:
        raise ValueError(f"<{node.tag} {' '.join(node.attrib)}> in {STUDY_HTML}")
    given = Markup("").join(Markup(' {}="{}"').format(name, value) for name, value in node.attrib.items())
    inside = Markup("").join(_clean(child) for child in node)
    return Markup("<{0}{1}>{2}{3}</{0}>{4}").format(node.tag, given, node.text or "", inside, node.tail or "")
