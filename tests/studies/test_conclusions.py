"""What is concluded of results that are known beforehand; intervals against their formulas."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from residua.studies.catalog import get_study, list_studies
from residua.studies.intervals import Spread, contrast, difference, over_units, rate
from residua.studies.run_study import conclude
from residua.studies.study import Arm, Outcome, Results, StudyOptions
from studies.grids import result, results


def degradation(errors: dict[str, float], seeds: int = 1, spread: float = 0.0) -> Outcome:
    study = get_study("degradation")
    arms = study.grid(StudyOptions(quick=True, depths=(8, 20)))
    found = [
        result(arm, seed, train=errors[arm.label] + spread * seed, test=errors[arm.label])
        for arm in arms
        for seed in range(seeds)
    ]
    return study.conclude(results(arms, found))


@pytest.mark.parametrize(
    ("plain", "residual", "answer", "said"),
    [
        (
            (0.2, 0.4),
            (0.2, 0.15),
            "yes",
            "plain 20.0 (13.2 to 26.8) points, residual -5.0 (-11.5 to 1.5), apart by 25.0",
        ),
        ((0.2, 0.4), (0.2, 0.2), "yes", "the residual one does not"),
        ((0.2, 0.4), (0.2, 0.3), "no", "Both get worse"),
        ((0.4, 0.2), (0.4, 0.3), "no", "does not get worse"),
        ((0.2, 0.2), (0.2, 0.2), "undecided", "cannot|can be distinguished"),
        ((0.85, 0.9), (0.85, 0.85), "undecided", "hardly learnt"),
    ],
)
def test_degradation(plain: tuple[float, float], residual: tuple[float, float], answer: str, said: str) -> None:
    errors = dict(zip(("plain-8", "plain-20", "residual-8", "residual-20"), (*plain, *residual), strict=True))
    verdict = degradation(errors).verdict
    assert verdict.answer == answer
    assert re.search(said.replace("(", r"\(").replace(")", r"\)"), verdict.sentence), verdict.sentence


def test_degradation_over_seeds_is_welchs() -> None:
    from scipy.stats import ttest_ind

    a, b = [0.30, 0.34, 0.29], [0.20, 0.22, 0.21]
    found = difference(a, b, 1000, seed_sd=0.5)
    theirs = ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))
    assert found.over == "seeds"
    verdict = degradation(
        {"plain-8": 0.2, "plain-20": 0.4, "residual-8": 0.2, "residual-20": 0.18}, seeds=3, spread=0.01
    ).verdict
    assert verdict.answer == "yes"
    assert any("over the seeds" in line for line in verdict.details)


def test_intervals_of_one_seed_and_of_several() -> None:
    from scipy.stats import t

    one = rate([0.25], 1000)
    assert (one.low, one.high) == pytest.approx((0.2241, 0.2777), abs=1e-4)
    assert (one.over, rate([0.25, 0.25], 1000)) == ("images", one)
    values = [0.1, 0.12, 0.17]
    half = t.ppf(0.975, 2) * Spread.of(values).sd / math.sqrt(3)
    seeds = [[value - 0.01, value + 0.01] for value in values]  # many units of three networks are three networks
    for found in (rate(values, 1000), over_units([values]), over_units(seeds)):
        assert (found.low, found.high) == pytest.approx((0.13 - half, 0.13 + half))
    assert [over_units([values]).over, over_units(seeds).over] == ["units", "seeds"]


def test_a_rate_of_few_seeds_stays_a_rate() -> None:
    """Student's t of two seeds has one degree of freedom, and reaches beyond 0 and 1."""
    assert (rate([0.02, 0.10], 1000).low, rate([0.90, 0.98], 1000).high) == (0.0, 1.0)


def test_the_difference_of_two_rates_is_newcombes() -> None:
    # Newcombe 1998, table II, example (g): 10/10 and 0/10; method 10 gives 0.6075 to 1.
    found = difference([1.0], [0.0], 10, seed_sd=0.0)
    assert (found.low, found.high) == pytest.approx((0.6075, 1.0), abs=1e-4)
    wider = difference([1.0], [0.0], 10, seed_sd=0.02)
    assert wider.low == pytest.approx(1 - math.hypot(1 - 0.6075, 1.96 * 0.02 * math.sqrt(2)), abs=1e-4)
    assert difference([0.3, 0.3], [0.2, 0.2], 1000, seed_sd=0.0).high > 0.1  # seeds that agree are no certainty
    narrow, wide = (difference([0.3], [0.2], 1000, seed_sd=0.0, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    both = contrast(narrow, narrow)
    assert (both.value, both.high) == pytest.approx((0, math.hypot(narrow.high - 0.1, 0.1 - narrow.low)))


def test_degradation_is_judged_on_depths_that_both_kinds_have() -> None:
    study = get_study("degradation")
    arms = study.grid(StudyOptions(quick=True, depths=(8, 20, 44)))
    errors = {"plain-8": 0.2, "plain-20": 0.4, "residual-8": 0.4, "residual-20": 0.4, "residual-44": 0.1}
    found = [result(arm, train=errors[arm.label]) for arm in arms if arm.label in errors]
    verdict = study.conclude(results(arms, found)).verdict
    assert verdict.answer == "yes"
    assert "from 8 to 20 layers" in verdict.sentence
    assert "residual 0.0" in verdict.sentence
    assert verdict.details[0] == "Gave no result: plain-44."


def test_noise_of_the_residual_network_does_not_make_a_difference() -> None:
    study = get_study("degradation")
    arms = study.grid(StudyOptions(quick=True, depths=(8, 20)))
    errors = {"plain-8": (0.2, 0.2, 0.21), "plain-20": (0.24, 0.25, 0.27)}
    errors |= {"residual-8": (0.2, 0.2, 0.2), "residual-20": (0.2, 0.25, 0.3)}
    found = [result(arm, seed, train=error) for arm in arms for seed, error in enumerate(errors[arm.label])]
    verdict = study.conclude(results(arms, found)).verdict
    assert (verdict.answer, verdict.numbers["plain"].low > 0) == ("undecided", True)
    assert "for the residual one it is undecided" in verdict.sentence


def measured(kind: str, lost: float, whole: float = 0.3) -> dict[str, Any]:
    single = [{"unit": f"layer1.{n}", "resizes": False, "error": whole + lost + n / 1000} for n in range(3)]
    return {
        "kind": kind,
        "images": 1000,
        "error": whole,
        "single": [*single, {"unit": "layer2.0", "resizes": True, "error": 0.9}],
        "many": [{"deleted": k, "errors": [whole + k * lost / 2, whole + k * lost / 3]} for k in (1, 2, 3)],
        "swaps": [{"swaps": 1, "tau": 0.9, "error": whole + lost}],
        "not_removable": [],
    }


@pytest.mark.parametrize(
    ("residual", "plain", "answer"),
    [(0.02, 0.55, "yes"), (0.5, 0.1, "no"), (0.2, 0.2, "undecided"), (0.02, None, "yes")],
)
def test_lesion(residual: float, plain: float | None, answer: str) -> None:
    arms = [Arm("cifar_resnet20", "cifar_resnet20", group="residual"), Arm("p", "cifar_plain20", group="plain")]
    found = [result(arms[0], measured=measured("residual", residual))]
    found += [] if plain is None else [result(arms[1], measured=measured("plain", plain))]
    outcome = get_study("lesion").conclude(results(arms, found))
    assert outcome.verdict.answer == answer
    if plain is not None:
        share = outcome.verdict.numbers["residual, share lost"]
        # (0.02 + 0.001) / (0.9 - 0.3), and so on.
        assert share.value == pytest.approx((residual + 0.001) / 0.6)


@pytest.mark.parametrize(("name", "base"), [("shortcuts", "identity (A)"), ("activations", "full pre-activation")])
@pytest.mark.parametrize(
    ("others", "odd", "answer"), [(0.4, 0.4, "yes"), (0.4, 0.2, "no"), (0.4, 0.3, "undecided"), (0.4, None, "yes")]
)
def test_one_against_the_others(name: str, base: str, others: float, odd: float | None, answer: str) -> None:
    study = get_study(name)
    arms = study.grid(StudyOptions(quick=True))
    errors = {arm.label: 0.3 if arm.label == base else others for arm in arms}
    errors[arms[-2].label] = odd if odd is not None else 0.0
    found = [result(arm, test=errors[arm.label]) for arm in arms if errors[arm.label]]
    outcome = study.conclude(results(arms, found))
    assert outcome.verdict.answer == answer
    rows = {row[0]: row for row in outcome.tables[0].rows}
    assert rows[base][1] == "30.00"
    if odd is None:
        assert rows[arms[-2].label][1] == "failed"
        assert "Gave no result" in outcome.verdict.details[0]


@pytest.mark.parametrize(("shared", "answer"), [(0.3, "yes"), (0.5, "no"), (0.4, "undecided"), (None, "undecided")])
def test_recurrence(shared: float | None, answer: str) -> None:
    study = get_study("recurrence")
    arms = study.grid(StudyOptions(quick=True))
    errors = [0.25, shared, 0.45, 0.4]
    found = [result(arm, test=error) for arm, error in zip(arms, errors, strict=True) if error is not None]
    outcome = study.conclude(results(arms, found))
    assert outcome.verdict.answer == answer
    assert "Worse than the unshared network" in " ".join(outcome.verdict.details)
    assert outcome.tables[1].rows[0][0] == "unshared"


@pytest.mark.parametrize("name", ["bottleneck", "recurrence", "shortcuts"])
def test_networks_that_have_learnt_nothing_say_nothing(name: str) -> None:
    study = get_study(name)
    arms = study.grid(StudyOptions(quick=True))
    errors = [0.78 if number else 0.89 for number in range(len(arms))]
    verdict = study.conclude(results(arms, [result(a, test=e) for a, e in zip(arms, errors, strict=True)])).verdict
    assert (verdict.answer, "hardly learnt" in verdict.sentence) == ("undecided", True)


def test_every_study_has_arms_that_can_be_built_and_recipes_that_hold() -> None:
    from residua.training.recipe_file import load_recipe, override

    for study in list_studies():
        for quick in (True, False):
            arms = study.grid(StudyOptions(quick))
            assert len({arm.slug for arm in arms}) == len(arms)
            form = study.form(quick)
            for arm in arms:
                assert arm.spec.num_classes == 10
                override(override(load_recipe(form.recipe), **form.fields), **arm.recipe)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)


def test_the_page_escapes_what_comes_from_outside() -> None:
    evil = "<script>alert(1)</script>"
    arms = [Arm(evil, "cifar_resnet8", group="residual"), Arm("p", "cifar_plain8", group="plain")]
    kinds = ("residual", "plain")
    found = [result(arm, measured=measured(kind, 0.1)) for arm, kind in zip(arms, kinds, strict=True)]
    report = conclude(
        get_study("lesion"),
        Results(tuple(arms), tuple(found), True, 10),
        failed={evil: evil},
        data={"given": evil, "hash": "0", "counts": {evil: 3}, "notes": [evil]},
        recipe={"name": evil, "augment": {"flip": evil}},
        seeds=1,
        command=evil,
    )
    page = report.to_html()
    parser = _Tags()
    parser.feed(page)
    assert "script" not in parser.tags
    assert "&lt;script&gt;" in page
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page)
    assert report.to_json().count(evil) > 3
