"""The report of a study: results with their spread and the verdict, as JSON and as one offline page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.files import write_text
from residua._base.plain import plain
from residua._base.public import public_name, public_text
from residua._base.words import counted
from residua.data.dataset import Dataset
from residua.evaluation.report.study_section import STUDY_HTML, STUDY_JSON
from residua.evaluation.report.text import flat_fields
from residua.figures.attributes import alone
from residua.studies.intervals import Spread
from residua.studies.page import Networks, Provenance, StudyPage, render
from residua.studies.study import Outcome, Results, Study, Verdict

FIGURES = "figures"
"""The folder of a study's figures, each an SVG file that stands alone."""


@dataclass(frozen=True)
class Row:
    """An arm over its seeds: mean and spread; `train_error` is None where it was not measured."""

    arm: str
    network: str
    params: int
    macs: int
    train_error: Spread | None
    test_error: Spread
    minutes: float


@dataclass(frozen=True, eq=False)
class StudyReport:
    """A finished study.

    Attributes:
        study: its question and its forms.
        results: of every arm and seed.
        outcome: verdict, figures, tables.
        failed: why a training gave no result, by its name.
        data: `given`, `hash`, `counts` of the data.
        recipe: what the arms have in common, without the seed; None where nothing was trained.
        seeds: how many were asked for.
        command: what repeats or continues the study.
    """

    study: Study
    results: Results
    outcome: Outcome
    failed: Mapping[str, str]
    data: Mapping[str, Any]
    recipe: Mapping[str, Any] | None
    seeds: int
    command: str

    @property
    def verdict(self) -> Verdict:
        """The answer."""
        return self.outcome.verdict

    @property
    def minutes(self) -> float:
        """Minutes of training and measuring, summed over all networks."""
        return sum(result.minutes for result in self.results.results)

    @property
    def environment(self) -> dict[str, str]:
        """Versions, processor, device and date of the measurements; values that differ are listed."""
        environments = [result.environment for result in self.results.results]
        merged = {}
        for key in dict.fromkeys(key for each in environments for key in each):
            values = sorted({each[key] for each in environments if key in each})
            merged[key] = f"{values[0]} to {values[-1]}" if key == "date" and len(values) > 1 else ", ".join(values)
        return merged

    @property
    def shows(self) -> str:
        """What this study can show, and what it cannot."""
        if self.recipe is None:
            return (
                "Finished runs were measured as they are, and nothing was trained. Differences between their trainings "
                "count too; each run's own report states how it was trained."
            )
        form = self.study.form(self.results.quick)
        if (name := self.recipe.get("name")) != form.recipe:
            return f"A recipe of its own, {name}, in place of the form's: it shows what that training shows."
        return form.shows.format_map(self.results.sizes)

    @property
    def length(self) -> str:
        """How long the networks were trained, as a sentence; "" where nothing was."""
        ends = [result.history[-1] for result in self.results.results if result.history]
        if not ends:
            return ""
        spans = []
        for key in ("epoch", "step"):
            lengths = sorted({int(line[key]) for line in ends if key in line})
            if lengths:
                most = f" to {lengths[-1]:,}" if len(lengths) > 1 else ""
                spans.append(f"{lengths[0]:,}{most} {key}{'s' * (lengths[-1] != 1)}")
        images = counted(self.data["counts"].get("train", 0), "image")
        return f"Each network was trained for {', '.join(spans)} on {images}."

    def rows(self) -> list[Row]:
        """Return one row per arm that gave a result, in the order of the grid."""
        rows = []
        for arm in self.results.done():
            trials = self.results.of(arm.label)
            train = [result.train_error for result in trials if result.train_error is not None]
            rows.append(
                Row(
                    arm.label,
                    arm.model + "".join(f", {key}={value}" for key, value in arm.edits.items()),
                    trials[0].params,
                    trials[0].macs,
                    Spread.of(train) if train else None,
                    Spread.of([result.test_error for result in trials]),
                    sum(result.minutes for result in trials),
                )
            )
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; figures are in the page alone."""
        return {
            "study": self.study.name,
            "form": "quick" if self.results.quick else "full",
            "question": self.study.question,
            "source": self.study.source,
            "shows": self.shows,
            "length": self.length,
            "verdict": plain(self.verdict),
            "arms": plain(self.rows()),
            "tables": plain(self.outcome.tables),
            "results": plain(self.results.results),
            "failed": dict(self.failed),
            "seeds": self.seeds,
            "minutes": self.minutes,
            "data": {key: self.data.get(key) for key in ("given", "hash", "counts", "notes")},
            "recipe": plain(self.recipe),
            "command": self.command,
            "versions": dict(self.environment),
        }

    def to_json(self) -> str:
        """Return `to_dict` as text."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def to_html(self) -> str:
        """Return the page: one file that needs nothing else."""
        return render(self._page())

    def _page(self) -> StudyPage:
        first = self.results.results[0]
        counts = ", ".join(f"{number:,} {name}" for name, number in self.data["counts"].items())
        facts = {
            "data": str(self.data["given"]),
            "hash of the data": str(self.data["hash"]),
            "images": counts,
            "minutes in all": _minutes(self.minutes),
            **self.environment,
        }
        return StudyPage(
            study=self.study,
            form="quick" if self.results.quick else "full",
            given=str(self.data["given"]),
            date=self.environment["date"],
            version=self.environment["residua"],
            outcome=self.outcome,
            failed=self.failed,
            networks=Networks(tuple(map(_cells, self.rows())), first.train_count, first.test_count),
            shows=self.shows,
            length=self.length,
            provenance=Provenance(
                self.command,
                tuple(str(note) for note in self.data.get("notes", ())),
                tuple(facts.items()),
                tuple(row for row in flat_fields(self.recipe or {}) if row[0] != "seed"),
            ),
        )


def described(dataset: Dataset, known: Iterable[str | Path | None]) -> dict[str, Any]:
    """Return what a report states of its data, without the folders of this machine; `known` as for `public_text`."""
    description = dataset.describe()
    notes = [public_text(note, known) for note in dataset.notes]
    return {
        "given": public_name(dataset.given),
        "hash": description["hash"],
        "counts": description["counts"],
        "notes": notes,
    }


def conclude(chosen: Study, results: Results, **facts: Any) -> StudyReport:
    """Return the report of the results."""
    if not results.results:
        raise InputError(
            f"no network of the study {chosen.name} gave a result: {next(iter(facts['failed'].values()), '')}",
            "at least one that trains",
            "See the reason, then try different epochs, a different batch_size or recipe",
        )
    return StudyReport(study=chosen, results=results, outcome=chosen.conclude(results), **facts)


def write_study(folder: Path, report: StudyReport) -> None:
    """Write study.html, study.json and the figures as SVG files of their own into `folder`, each file atomically."""
    page, document = report.to_html(), report.to_json()
    drawn = [alone(str(figure.svg)) for figure in report.outcome.figures if figure.svg]
    figures = folder / FIGURES
    if drawn or figures.is_dir():
        figures.mkdir(exist_ok=True)
        for number, figure in enumerate(drawn, 1):
            write_text(figures / f"{number}.svg", figure)
        for former in figures.glob("*.svg"):
            if former.stem.isdigit() and int(former.stem) > len(drawn):
                former.unlink()
    write_text(folder / STUDY_HTML, page)
    write_text(folder / STUDY_JSON, document)


def _cells(row: Row) -> tuple[str, ...]:
    train = row.train_error.percent() if row.train_error else "–"
    counts = (f"{row.params:,}", f"{row.macs:,}")
    errors = (train, row.test_error.percent())
    return (row.arm, row.network, *counts, *errors, str(row.test_error.n), _minutes(row.minutes))


def _minutes(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"
