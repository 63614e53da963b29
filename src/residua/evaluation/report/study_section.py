"""Read a finished study's folder, and check it before it is shown in the page of an evaluation.

The words come from study.json, charts and tables from study.html. Of its markup only the elements and attributes of the
studies' own charts and tables are taken over. A file from elsewhere so brings no script, style or address.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypedDict
from xml.etree import ElementTree

from markupsafe import Markup

from residua._base.errors import Damaged, InputError
from residua._base.files import read_regular
from residua._base.json_file import LARGEST_BYTES, read_json
from residua.figures.attributes import LOOKS

STUDY_HTML, STUDY_JSON = "study.html", "study.json"
"""The files in the folder of a finished study."""

_TEXT = {"section", "div", "p", "small", "figure", "figcaption"}
_TABLE = {"table", "caption", "thead", "tbody", "tr", "th", "td"}
_TAGS = _TEXT | _TABLE | {"svg", "g", "title", "text", "line", "path", "rect", "circle"}
_PLACES = {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "width", "height", "d", "viewBox", "transform"}
_ATTRIBUTES = _PLACES | {"class", "role", "aria-label", "tabindex", "scope"}
# Their values name no address: a colour may not be url(…).
_LOOKS = re.compile(r"[\w#.,' -]*")


class _Verdict(TypedDict):
    answer: Literal["yes", "no", "undecided"]
    sentence: str
    details: list[str]


class _Data(TypedDict):
    given: str
    hash: str


class _Result(TypedDict):
    weights_sha256: str


class _Document(TypedDict):
    """The fields of study.json that an evaluation shows."""

    study: str
    form: str
    question: str
    source: str
    verdict: _Verdict
    shows: str
    length: str
    failed: dict[str, str]
    data: _Data
    results: list[_Result]
    seeds: int
    command: str
    versions: dict[str, str]


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
        document = read_json(folder / STUDY_JSON, _Document)
        page = read_regular(folder / STUDY_HTML, LARGEST_BYTES).decode("utf-8")
        return _checked(document, page, folder.resolve().name)
    except (ValueError, RecursionError, ElementTree.ParseError) as error:
        reason = str(error)
        if isinstance(error, Damaged):
            reason = f"{error.path.name}: {error.reason}"
        elif isinstance(error, ElementTree.ParseError):
            reason = f"{STUDY_HTML} is not well-formed: {error}"
        raise InputError(
            f"the study in {folder}, which cannot be read ({reason})",
            f"{STUDY_JSON} and {STUDY_HTML} as residua study writes them",
            "Repeat the study, or leave it out",
        ) from None


def _checked(document: _Document, page: str, folder: str) -> FinishedStudy:
    verdict, data = document["verdict"], document["data"]
    return FinishedStudy(
        name=document["study"],
        folder=folder,
        form=document["form"],
        question=document["question"],
        source=document["source"],
        answer=verdict["answer"],
        sentence=verdict["sentence"],
        details=tuple(verdict["details"]),
        shows=document["shows"],
        length=document["length"],
        failed=document["failed"],
        given=data["given"],
        data_hash=data["hash"],
        trainings=len(document["results"]),
        seeds=document["seeds"],
        weights=tuple(result["weights_sha256"] for result in document["results"]),
        command=document["command"],
        versions=document["versions"],
        charts=_part(page, "charts"),
        tables=_part(page, "tables"),
    )


def _part(page: str, name: str) -> Markup:
    """Return the content of a section of the study's page below its heading; "" where there is no such section."""
    match = re.search(rf'<section id="{name}">\s*<h2>[^<]*</h2>(.*?)</section>', page, re.DOTALL)
    if match is None:
        return Markup("")
    root = ElementTree.fromstring(f"<section>{match[1]}</section>")
    return Markup("").join(_clean(child) for child in root)


def _clean(node: ElementTree.Element) -> Markup:
    looks = {name: value for name, value in node.attrib.items() if name in LOOKS}
    known = node.tag in _TAGS and node.attrib.keys() - looks.keys() <= _ATTRIBUTES
    if not known or not all(_LOOKS.fullmatch(value) for value in looks.values()):
        raise ValueError(f"<{node.tag} {' '.join(node.attrib)}> in {STUDY_HTML}")
    attributes = Markup("").join(Markup(' {}="{}"').format(name, value) for name, value in node.attrib.items())
    inside = Markup("").join(_clean(child) for child in node)
    return Markup("<{0}{1}>{2}{3}</{0}>{4}").format(node.tag, attributes, node.text or "", inside, node.tail or "")
