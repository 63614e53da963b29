"""What the report states of choices: what "auto" was, an ensemble of one, what corrects probabilities, axis labels."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from evaluation.report.sections.test_sections import full
from residua.evaluation.measures.ensemble import Ensemble, Member
from residua.evaluation.measures.significance import mcnemar
from residua.evaluation.report.sections.provenance import ProvenanceSection
from residua.evaluation.report.sections.summary import SummarySection
from residua.figures.axes import compact, logarithmic
from residua.figures.pages import unbroken


def test_provenance_states_what_was_chosen() -> None:
    recipe = {"precision": "auto", "kernels": "auto", "channels_last": "auto", "device": "cpu", "seed": 0}
    chosen = {"precision": "bf16", "kernels": "eager", "channels_last": True, "device": "cpu", "threads": 2}
    facts = dict(ProvenanceSection.of(full(recipe=recipe, computed_with=chosen)).recipe)
    assert facts == {
        "precision": "bf16 (auto)",
        "kernels": "eager (auto)",
        "channels_last": "yes (auto)",
        "device": "cpu",
        "seed": "0",
    }
    # Runs of earlier versions did not record it.
    assert dict(ProvenanceSection.of(full(recipe=recipe)).recipe)["precision"] == "auto"


def test_an_ensemble_of_one_has_no_empty_table() -> None:
    report = full()
    assert report.ensemble is not None
    members = (Member("a", "resnet18", 1.0, 0.8, 0.6), Member("b", "resnet34", 0.0, 0.7, 0.8))
    same = mcnemar(*[[True, False, True]] * 2)
    page = replace(report, ensemble=Ensemble(members, "greedy", (), "a", same)).to_html()
    section = page[page.index('<section id="ensemble">') :]
    section = section[: section.index("</section>")]
    assert "One member is left with a weight, <b>a</b>" in section
    assert "McNemar" not in section
    assert "Diversity" not in section
    assert "McNemar" in report.to_html()


@pytest.mark.parametrize(("smoothing", "said"), [(0.1, False), (0.0, False)])
def test_what_is_too_sure_names_the_command(smoothing: float, said: bool) -> None:
    report = full(calibrated=None, recipe={"label_smoothing": smoothing})
    text = " ".join(SummarySection.of(report).sureness)
    assert "it is too sure" in text
    assert f"<code>{unbroken('residua evaluate RUN --calibrate')}</code>" in text
    assert '<span class="word">--calibrate</span>' in text, "no line ends in its hyphens"
    # Smoothing makes probabilities too small, not too large.
    assert ("Label smoothing" in text) == said
    assert "--calibrate" not in " ".join(SummarySection.of(full()).sureness)


def test_less_sure_by_label_smoothing() -> None:
    report = full(calibrated=None, recipe={"label_smoothing": 0.1})
    assert report.calibration is not None
    bins = tuple(replace(row, confidence=max(row.confidence - 0.4, 0.0)) for row in report.calibration.bins)
    unsure = replace(report, calibration=replace(report.calibration, bins=bins))
    text = " ".join(SummarySection.of(unsure).sureness)
    assert "it is less sure than it could be" in text
    assert "Label smoothing while training does this." in text


@pytest.mark.parametrize("top", [50.0, 5e3, 528424.0, 3e9])
def test_the_labels_of_a_logarithmic_axis_are_of_one_kind(top: float) -> None:
    labels = logarithmic([0.3, top], 0, 100).labels
    plain = [bool(re.fullmatch(r"[\d,.]+", label)) for label in labels]
    assert all(plain) or not any(plain), labels
    assert not any("e+" in label for label in (*labels, *map(compact, (1e3, 1e4, 1e5, 528424.0))))
