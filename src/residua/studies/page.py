"""Study -> one offline HTML page, without scripts and without requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from jinja2 import Template

from residua.figures import pages
from residua.studies.study import Outcome, Study


@dataclass(frozen=True)
class Networks:
    """The table of every network.

    Attributes:
        rows: cells as text.
        train_count: images of the training error; 0 where it was not measured.
        test_count: images of the test error.
    """

    rows: tuple[tuple[str, ...], ...]
    train_count: int
    test_count: int


@dataclass(frozen=True)
class Provenance:
    """Where the results come from.

    Attributes:
        command: what repeats the study.
        notes: of the data.
        facts: name and value of data, machine and versions.
        recipe: name and value of its fields; empty where nothing was trained.
    """

    command: str
    notes: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    recipe: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class StudyPage:
    """What the page shows, from top to bottom.

    Attributes:
        study: its name, question and source.
        form: "quick" or "full".
        given: the name of the data.
        date: of the results.
        version: of Residua.
        outcome: verdict, figures, tables.
        failed: why a training gave no result, by its name.
        networks: their table.
        shows: what the form can show, and what it cannot.
        length: how long the networks were trained; "" where nothing was.
        provenance: of the results.
    """

    study: Study
    form: str
    given: str
    date: str
    version: str
    outcome: Outcome
    failed: Mapping[str, str]
    networks: Networks
    shows: str
    length: str
    provenance: Provenance


def render(page: StudyPage) -> str:
    """Return the page as text; every name from outside is escaped."""
    return _template().render(page=page, count=lambda value: f"{value:,}")


@cache
def _template() -> Template:
    return pages.environment("residua.studies").get_template("study.html.j2")
