"""Read a finished study's folder, and check it before it is shown in the page of an evaluation.

The words come from study.json, charts and tables from study.html. Of its markup only the elements and attributes of the
studies' own charts and tables are taken over, so that a file from elsewhere brings no script, style or address.
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
"""The files in the folder of a finished study."""

_TEXT = {"section", "div", "p", "small", "figure", "figcaption"}
_TABLE = {"table", "caption", "thead", "tbody", "tr", "th", "td"}
_TAGS = _TEXT | _TABLE | {"svg", "g", "title", "text", "line", "path", "rect", "circle"}
_PLACES = {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "width", "height", "d", "viewBox", "transform"}
_ATTRIBUTES = _PLACES | {"class", "role", "aria-label", "tabindex", "scope"}
_ANSWERS = ("yes", "no", "undecided")


@dataclass(frozen=True)
class FinishedStudy:
    """A finished study.

    Attributes:
        name: the name of the study.
        folder: the name of its folder.
        form: "quick" or "full".
        question: a sentence.
        source: where the answer was published.
        answer: "yes", "no" or "undecided".
        sentence: the answer with its numbers.
        details: further sentences.
        shows: what the form can show and what it cannot.
        length: how long the networks were trained; "" where none was.
        failed: name of an arm with its seed -> the reason for its failure.
        given: the name of its data.
        data_hash: the hash of its data.
        trainings: networks that gave a result.
        seeds: the seeds per arm that were requested.
        weights: SHA-256 of each network.
        command: the command that repeats it.
        versions: versions of programs, machine and date.
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
        """Return its part of report.json; the rest is in the study's own folder."""
        names = ("name", "folder", "form", "question", "answer", "sentence", "given", "data_hash", "seeds")
        return {name: getattr(self, name) for name in names} | {"details": list(self.details)}


def read_study(folder: Path | str | FinishedStudy) -> FinishedStudy:
    """Return the finished study in `folder`.

    Raises:
        InputError: there is none, or its files are not as Residua writes them.
    """
    if isinstance(folder, FinishedStudy):
        return folder
    folder = Path(folder)
    missing = [name for name in (STUDY_JSON, STUDY_HTML) if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"{folder} without {' and '.join(missing)}",
            "the folder of a finished study",
            "Finish it with the command that started it, or begin one: residua study NAME DATA",
        )
    try:
        document = json.loads((folder / STUDY_JSON).read_text(encoding="utf-8"))
        page = (folder / STUDY_HTML).read_text(encoding="utf-8")
        return _checked(document, page, folder.resolve().name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ElementTree.ParseError) as error:
        raise InputError(
            f"the study in {folder}, which cannot be read ({type(error).__name__}: {error})",
            f"{STUDY_JSON} and {STUDY_HTML} as residua study writes them",
            "Repeat the study, or leave it out",
        ) from None


def _checked(document: Any, page: str, folder: str) -> FinishedStudy:
    verdict, data = document["verdict"], document["data"]
    if verdict["answer"] not in _ANSWERS:
        raise ValueError(f"the answer {verdict['answer']!r}")
    return FinishedStudy(
        name=str(document["study"]),
        folder=folder,
        form=str(document["form"]),
        question=str(document["question"]),
        source=str(document["source"]),
        answer=verdict["answer"],
        sentence=str(verdict["sentence"]),
        details=tuple(map(str, verdict["details"])),
        shows=str(document["shows"]),
        length=str(document["length"]),
        failed={str(name): str(reason) for name, reason in document["failed"].items()},
        given=str(data["given"]),
        data_hash=str(data["hash"]),
        trainings=len(document["results"]),
        seeds=int(document["seeds"]),
        weights=tuple(str(result["weights_sha256"]) for result in document["results"]),
        command=str(document["command"]),
        versions={str(name): str(value) for name, value in document["versions"].items()},
        charts=_part(page, "charts"),
        tables=_part(page, "tables"),
    )


def _part(page: str, name: str) -> Markup:
    """Return the content of a section of the study's page below its heading; "" where there is no such section."""
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
