"""The page of a report that has everything: each section, its words, its order, its size."""

from __future__ import annotations

import itertools
import re
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup

from evaluation.report.test_report import EVIL, Page, make
from figures.rendering import PROGRAMS, pixels
from residua.evaluation.batch_norm import Reestimation
from residua.evaluation.measures.abstention import abstention, apply_threshold
from residua.evaluation.measures.calibration import Bin, Calibration, calibration
from residua.evaluation.measures.ensemble import Ensemble, Member, Pair
from residua.evaluation.measures.metrics import wilson
from residua.evaluation.measures.significance import mcnemar
from residua.evaluation.measures.slices import Slice
from residua.evaluation.report import text
from residua.evaluation.report.diagrams import reliability_diagram
from residua.evaluation.report.findings import CalibrationFindings
from residua.evaluation.report.report import Report
from residua.evaluation.report.sections import curves
from residua.evaluation.report.study_section import FinishedStudy
from residua.figures.attributes import alone
from residua.figures.lines import Series, line_chart
from residua.figures.palette import rgb

ORDER = ["summary", "curves", "confusion", "classes", "calibration", "abstention", "worst", "surest"]
ORDER += ["slices", "ensemble", "reestimated", "studies", "provenance"]


def studied(**changes: Any) -> FinishedStudy:
    """A finished study with a chart and a table, of other data than the run's."""
    chart = line_chart(
        "error", "units", (0, 1), [Series("plain", "c1", (0.1, 0.2)), Series("b", "c2", (0.1, 0.1))], str
    )
    table = Markup(
        '<div class="scroll" role="region" aria-label="Swaps" tabindex="0"><table class="numbers"><tbody><tr>'
        '<th scope="row">a</th><td class="long">b, c</td></tr></tbody></table></div>'
    )
    found = FinishedStudy(
        name="lesion",
        folder=EVIL[0],
        form="quick",
        question="Does it go on without a unit?",
        source="Veit 2016",
        answer="undecided",
        sentence=f"Between {EVIL[0]} and 3.",
        details=("In brackets: intervals.",),
        shows="Little.",
        length="",
        failed={EVIL[0]: "NaN"},
        given=EVIL[0],
        data_hash="cd" * 32,
        trainings=2,
        seeds=1,
        weights=("ef" * 32,),
        command="residua study lesion",
        versions={"residua": "0.1.0", "date": "2026-01-02"},
        charts=Markup('<div class="charts"><figure>{}<figcaption>Of two.</figcaption></figure></div>').format(chart),
        tables=table,
    )
    return replace(found, **changes)


def full(classes: tuple[str, ...] = EVIL, count: int = 400, **changes: Any) -> Report:
    """A report with every section; its network is too sure."""
    report = make(classes, count)
    random = np.random.default_rng(1)
    correct = random.random(count) < report.top1
    sure = np.clip(random.beta(6, 1, count) + 0.1 * correct, 0, 1)
    model = report.model | {"macs": 1_820_000_000, "weights_bytes": 46_800_000, "weights_sha256": "cd" * 32}
    thresholds = (apply_threshold(sure, correct, 0.9, 0.7), apply_threshold(sure, correct, 0.99, None))
    fitted = {"split": "val", "count": 71, "loss_before": 0.9, "loss_after": 0.8}
    calibrated = CalibrationFindings(1.25, fitted, 0.8, 0.3, calibration(sure**1.25, correct), thresholds)
    parts = ((f"{name} {at}", 20 + at, at) for at, name in enumerate(classes[:4]))
    slices = tuple(Slice("camera", v, n, hits / n, wilson(hits, n), 0.5) for v, n, hits in parts)
    test = mcnemar(correct, correct & (random.random(count) < 0.98))
    members = (Member("a", "resnet18", 0.75, 0.8, 0.6), Member(EVIL[0], "resnet34", 0.25, 0.79, 0.7))
    ensemble = Ensemble(members, "val", (Pair("a", EVIL[0], 0.1, 0.05, None),), "a", test)
    return replace(
        report,
        model=model,
        environment=report.environment | {"device": "cpu", "processor": "a processor", "threads": "1 of 2 processors"},
        calibration=calibration(sure, correct),
        abstention=abstention(sure, correct),
        brier=0.31,
        seconds=4.0,
        **({"calibrated": calibrated, "slices": slices, "ensemble": ensemble} | changes),
        reestimated=Reestimation(20, 1200, 3, 0.0004),
        studies=(studied(),),
        remarks=("the temperature was fitted on these same images",),
    )


def test_every_section_stands_in_order_and_is_linked() -> None:
    page = Page(full().to_html())
    assert [str(each["id"]) for each in page.all("section")] == ORDER
    ids = [each["id"] for _, each in page.tags if "id" in each]
    assert len(ids) == len(set(ids))
    assert {str(each["href"]).removeprefix("#") for each in page.all("a")} <= set(ids)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_what_scrolls_is_reached_by_the_keyboard_and_what_is_drawn_is_named() -> None:
    page = Page(full().to_html())
    regions = [each for _, each in page.tags if "scroll" in str(each.get("class", "")).split()]
    assert len(regions) >= 8
    assert all(
        each["tabindex"] == "0" and each["role"] == "region" and (each.get("aria-label") or each.get("aria-labelledby"))
        for each in regions
    )
    assert all(each["role"] == "img" and each["aria-label"] for each in page.all("svg"))
    assert not page.all("script")


def test_the_page_states_confidence_and_costs() -> None:
    report = full(ensemble=None)
    page = Page(report.to_html())
    assert report.calibration is not None
    for part in (
        "it is too sure",
        f"Expected calibration error: {100 * report.calibration.ece:.1f}%",
        "with the temperature 1.250 that the run holds",
        "Of the surest",
        "Of 4 slices",
        "The temperature was fitted on these same images.",
        "not reached",
        "20 layers were given the means",
    ):
        assert part in page.text
    for part in (
        "1.82 billion",
        "46.8 MB",
        "images per second 100 reading them included",
        "a processor",
        "11.2 million",
    ):
        assert part in page.pieces
    assert "reading them included" not in Page(replace(report, cached=True).to_html()).pieces
    assert "reading them included" not in Page(full().to_html()).pieces, "members may come from the cache"


def test_the_page_states_the_relation_of_a_study_to_the_run() -> None:
    report = full()
    own, network = report.data["hash"], str(report.model["weights_sha256"])
    for study, said in (
        (studied(), "Note: the study was done on other data"),
        (studied(data_hash=own), "It is about networks of its own, on the data of this run."),
        (studied(data_hash=own, weights=(network,)), "It measured this same network"),
    ):
        assert said in Page(replace(report, studies=(study,)).to_html()).text
    assert report.to_dict()["studies"][0]["data_hash"] == "cd" * 32


def test_only_what_there_is_has_a_section() -> None:
    ids = [str(each["id"]) for each in Page(make().to_html()).all("section")]
    assert not set(ids) & {"calibration", "abstention", "slices", "ensemble", "reestimated"}


def test_a_reliability_diagram_is_drawn_to_scale() -> None:
    empty = Bin(0.0, 0.5, 0, 0.0, 0.0)
    found = Calibration(0.2, 0.2, 0.2, (empty, Bin(0.5, 1.0, 1200, 0.8, 0.6)), ())
    text = str(reliability_diagram("<b>", found))
    assert "<b>" not in text
    assert text.count('class="share"') == 1, "an empty bin draws nothing"
    (share,) = re.findall(r'class="share" x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', text)
    assert [float(each) for each in share] == pytest.approx([188, 110, 120], abs=0.2)
    (gap,) = re.findall(r'class="gap" x="[\d.]+" y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', text)
    assert [float(each) for each in gap] == pytest.approx([70, 40], abs=0.2)
    assert ">1,200<" in text


def test_only_a_slice_that_is_worse_than_the_whole_goes_wrong() -> None:
    report = full()
    worse = Slice("camera", "old", 40, 0.1, (0.04, 0.23), 3.0)
    chance = Slice("camera", "new", 1, 0.5, (0.0, report.top1), 3.0)
    for slices, said in (((worse, chance), True), ((chance,), False)):
        assert ("does worst" in replace(report, slices=slices).to_html()) is said


def test_very_many_slices_leave_the_strong_ones_out() -> None:
    many = tuple(Slice("id", f"{at:04}", 10, at / 1000, wilson(at // 100, 10), 0.5) for at in range(1000))
    text = Page(full(slices=many).to_html()).text
    assert "Shown are 300 that may be weakest; 700 others are in report.json." in text
    assert " 0000 " in text
    assert " 0999 " not in text


def test_ten_thousand_images_of_a_thousand_classes_are_one_file_of_ten_megabytes_at_most() -> None:
    report = full(tuple(f"class {at:04}" for at in range(1000)), count=10_000)
    picture = "data:image/jpeg;base64," + "A" * 16_000
    mistakes = [replace(each, thumbnail=picture, explanation=picture) for each in report.worst]
    start = time.process_time()
    html = replace(report, worst=tuple(mistakes), most_confident_mistakes=tuple(mistakes[:12])).to_html()
    assert time.process_time() - start < 20
    assert len(html.encode()) < 10_000_000


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_figure_of_a_report_is_drawn_in_colour_when_saved_alone(program: str) -> None:
    figures = re.findall(r"<svg .*?</svg>", full().to_html(), re.DOTALL)
    assert len(figures) >= 4
    for figure in figures:
        found = pixels(alone(figure), program).reshape(-1, 3)
        assert (found == rgb("paper")).all(axis=1).mean() > 0.5
        assert (found.max(axis=1) < 20).mean() < 0.002, "marks without colour are black"


def test_a_file_name_keeps_its_case_at_the_beginning_of_a_sentence() -> None:
    assert text.sentence("labels.csv: path from column path") == "labels.csv: path from column path."
    assert text.sentence("the crop is large") == "The crop is large."


def test_of_equal_epochs_the_one_of_least_loss_is_the_best() -> None:
    rows = [{"epoch": 1, "val_top1": 0.5, "val_loss": 2.0}, {"epoch": 2, "val_top1": 0.5, "val_loss": 1.0}]
    assert curves._best(rows, "val_top1") == (0.5, 2)


def test_curves_show_what_the_best_epoch_was_chosen_by() -> None:
    rows = [{"epoch": 1, "val_top1": 0.9, "val_balanced_accuracy": 0.5}]
    rows += [{"epoch": 2, "val_top1": 0.8, "val_balanced_accuracy": 0.7}]
    key, name, title = curves._measure(rows, "balanced_accuracy")
    assert (key, name, title) == ("val_balanced_accuracy", "balanced accuracy", "validation balanced accuracy")
    assert curves._best(rows, key) == (0.7, 2)
    assert curves._measure(rows, "top1")[0] == curves._measure(rows, None)[0] == "val_top1"
    assert curves._measure(rows, "macro_f1")[0] == "val_top1", "the history of one label an image does not hold it"
    several = [{"epoch": 1, "val_mean_average_precision": 0.5, "val_macro_f1": 0.4}]
    assert curves._measure(several, "macro_f1")[:2] == ("val_macro_f1", "macro F1")
    assert curves._measure(several, "mean_average_precision")[0] == "val_mean_average_precision"
