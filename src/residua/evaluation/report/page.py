"""Findings -> one offline HTML page, without scripts and without requests."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from residua.evaluation.report.findings import Findings
from residua.evaluation.report.sections.abstention import AbstentionSection
from residua.evaluation.report.sections.calibration import CalibrationSection
from residua.evaluation.report.sections.confusion import ConfusionSection
from residua.evaluation.report.sections.corruption import CorruptionSection
from residua.evaluation.report.sections.curves import CurvesSection
from residua.evaluation.report.sections.ensemble import EnsembleSection
from residua.evaluation.report.sections.likeness import LikenessSection
from residua.evaluation.report.sections.mistakes import MistakesSection
from residua.evaluation.report.sections.provenance import ProvenanceSection
from residua.evaluation.report.sections.reestimation import ReestimationSection
from residua.evaluation.report.sections.rejection import RejectionSection
from residua.evaluation.report.sections.section import Section
from residua.evaluation.report.sections.shift import ShiftSection
from residua.evaluation.report.sections.slices import SlicesSection
from residua.evaluation.report.sections.studies import StudiesSection
from residua.evaluation.report.sections.summary import SummarySection
from residua.evaluation.report.text import data_name, number, percent, points
from residua.figures import pages

SECTIONS: tuple[type[Section], ...] = (
    SummarySection,
    CurvesSection,
    ConfusionSection,
    CalibrationSection,
    AbstentionSection,
    RejectionSection,
    CorruptionSection,
    ShiftSection,
    MistakesSection,
    LikenessSection,
    SlicesSection,
    EnsembleSection,
    ReestimationSection,
    StudiesSection,
    ProvenanceSection,
)
"""In the order of the page."""


def render(findings: Findings) -> str:
    """Return the page as text; every name from outside is escaped."""
    templates = _templates()
    sections = [section for kind in SECTIONS if (section := kind.of(findings)) is not None]
    bodies = [Markup(templates.get_template(each.template).render(section=each)) for each in sections]
    return templates.get_template("report.html.j2").render(
        run=findings.name,
        network=findings.model["name"],
        data=data_name(findings.data),
        top1=percent(findings.top1, findings.count),
        environment=findings.environment,
        links=[link for each in sections for link in each.links],
        sections=bodies,
    )


@cache
def _templates() -> Environment:
    templates = pages.environment("residua.evaluation.report")
    templates.globals.update(percent=percent, number=number, points=points)
    return templates
