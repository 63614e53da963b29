"""Findings of several labels an image -> one offline HTML page, without scripts and without requests."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment
from markupsafe import Markup

from residua.evaluation.multilabel.findings import MultilabelFindings
from residua.evaluation.multilabel.label_sections import LabelMistakesSection, LabelsSection, LabelSummary
from residua.evaluation.report.sections.curves import CurvesSection
from residua.evaluation.report.sections.provenance import ProvenanceSection
from residua.evaluation.report.text import data_name, number, percent
from residua.figures import pages


def render(findings: MultilabelFindings) -> str:
    """Return the page as text; every name from outside is escaped."""
    templates = _templates()
    kinds = (LabelSummary, CurvesSection, LabelsSection, LabelMistakesSection, ProvenanceSection)
    sections = [section for kind in kinds if (section := kind.of(findings)) is not None]
    bodies = [Markup(templates.get_template(each.template).render(section=each)) for each in sections]
    return templates.get_template("report.html.j2").render(
        run=findings.name,
        network=findings.model["name"],
        data=data_name(findings.data),
        top1=f"mAP {percent(findings.mean_average_precision, findings.count)}",
        environment=findings.environment,
        links=[link for each in sections for link in each.links],
        sections=bodies,
    )


@cache
def _templates() -> Environment:
    templates = pages.environment("residua.evaluation.report")
    templates.globals.update(percent=percent, number=number)
    return templates
