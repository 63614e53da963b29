"""The prose of a study's page has no depth and no length of its own: they are the run's, or the paper's by name."""

from __future__ import annotations

import re

import pytest

from residua.studies.catalog import get_study, list_studies
from residua.studies.study import Results, StudyOptions
from studies.grids import result, results

FORMS = [(study.name, quick) for study in list_studies() for quick in (True, False)]
FIGURE = re.compile(r"(?<![\w.×-])\d[\d,.]*\d|(?<![\w.×-])\d(?![\w×])")
# Of published sources, and of what the figure of a page stands for.
SOURCED = re.compile(r"paper|He 20\d\d|figure \d|20\d\d")
STRUCTURE = {"two-3x3": {"28"}}  # 18 weights of two 3×3 against 25 of a 5×5, at any width


def _measured(name: str, quick: bool, depths: tuple[int, ...] = ()) -> Results:
    arms = get_study(name).grid(StudyOptions(quick=quick, depths=depths))
    return results(arms, [result(arm) for arm in arms], quick=quick)


@pytest.mark.parametrize(("name", "quick"), FORMS)
def test_no_figure_is_written_by_hand(name: str, quick: bool) -> None:
    text = get_study(name).form(quick).shows
    for clause in re.split(r"(?<=[.;:])\s", re.sub(r"\{\w+\}", "", text)):
        figures = set(FIGURE.findall(clause)) - STRUCTURE.get(name, set())
        assert not figures or SOURCED.search(clause), f"{name}: {clause!r} states {figures}"
    for word in ("some thousand", "few hundred", "few epochs"):
        assert word not in text


@pytest.mark.parametrize(("name", "quick"), FORMS)
def test_sizes_are_filled_in(name: str, quick: bool) -> None:
    measured = _measured(name, quick)
    shown = get_study(name).form(quick).shows.format_map(measured.sizes)
    assert "{" not in shown
    depths = {str(getattr(arm.spec, "depth", "")) for arm in measured.arms}
    for figure in re.findall(r"(\d+)(?: and \d+)? layers", re.sub(r"[^.;]*(?:paper|there)[^.;]*", "", shown)):
        assert figure in depths


@pytest.mark.parametrize("name", ["gradients", "shortcuts", "activations", "recurrence"])
@pytest.mark.parametrize("quick", [True, False])
def test_a_depth_that_was_asked_for_is_the_pages(name: str, quick: bool) -> None:
    study, measured = get_study(name), _measured(name, quick, (20,))
    shown = study.form(quick).shows.format_map(measured.sizes)
    assert re.search(r"\b20 layers", shown)
    assert not re.search(r"\b(?:32|56) layers|\b110 layers(?! there|, and)", shown)


def test_depths_in_words() -> None:
    arms = get_study("degradation").grid(StudyOptions(quick=True, depths=(8, 20, 44)))
    assert results(arms, [result(arm) for arm in arms]).sizes["layers"] == "8, 20 and 44 layers"
    assert results(arms, [result(arms[0])]).sizes["layers"] == "8 layers"
    assert results(arms, []).sizes["layers"] == "their own number of layers"
