"""Finished studies, each with its relation to the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from markupsafe import Markup

from residua.evaluation.report.findings import Findings
from residua.evaluation.report.sections.section import Link
from residua.evaluation.report.study_section import FinishedStudy
from residua.evaluation.report.text import data_name


@dataclass(frozen=True)
class Relation:
    """The relation of a study to the run.

    Attributes:
        other: whether the study used other data than the run.
        text: a sentence.
    """

    other: bool
    text: str


@dataclass(frozen=True)
class StudiesSection:
    """Finished studies.

    Attributes:
        studies: each study with its relation to the run.
    """

    studies: tuple[tuple[FinishedStudy, Relation], ...]
    template: ClassVar[str] = "studies.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("studies", "Studies"),)

    @classmethod
    def of(cls, findings: Findings) -> Self | None:
        """Return the section of these findings; None without studies."""
        return (
            cls(tuple((study, _relation(study, findings)) for study in findings.studies)) if findings.studies else None
        )


def _relation(study: FinishedStudy, findings: Findings) -> Relation:
    trained = findings.data.get("trained_on") or findings.data
    if trained.get("hash") != study.data_hash:
        own = data_name({"given": trained.get("given", "other data")})
        text = Markup(
            "Note: the study was done on other data, <b>{}</b>, than this run, which was trained on <b>{}</b>."
        )
        return Relation(other=True, text=text.format(study.given, own))
    if set(study.weights) & set(str(findings.model.get("weights_sha256", "")).split(", ")):
        return Relation(other=False, text="It measured this same network, on the data of this run.")
    return Relation(other=False, text="It is about networks of its own, on the data of this run.")
