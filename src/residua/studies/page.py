"""Study -> one offline HTML page, without scripts and without requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template

from residua.evaluation.report.text import shown

if TYPE_CHECKING:
    from residua.studies.report import Row, StudyReport


def render(report: StudyReport) -> str:
    """Return the page as text; every name from outside is escaped."""
    notes = [str(note) for note in report.data.get("notes", ())]
    return _template().render(
        report=report,
        study=report.study,
        verdict=report.verdict,
        form_name="quick" if report.results.quick else "full",
        rows=[_cells(row) for row in report.rows()],
        count=lambda value: f"{value:,}",
        minutes=_minutes,
        notes=notes,
        recipe=list(_flat(report.recipe or {})),
        tested=report.results.results[0].test_count,
        trained=report.results.results[0].train_count,
    )


def _cells(row: Row) -> tuple[str, ...]:
    train = row.train_error.percent() if row.train_error else "–"
    counts = (f"{row.params:,}", f"{row.macs:,}")
    return (
        row.arm,
        row.network,
        *counts,
        train,
        row.test_error.percent(),
        str(row.test_error.n),
        _minutes(row.minutes),
    )


def _flat(recipe: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif key != "seed":
            yield prefix + key, shown(value)


def _minutes(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


@cache
def _template() -> Template:
    environment = Environment(
        loader=ChoiceLoader(
            [PackageLoader(package, "templates") for package in ("residua.studies", "residua.evaluation.report")]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("study.html.j2")
