"""The report: complete as JSON, and as a page whole, offline, escaped and honest."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from residua._base.run_files import REPORT_DOCUMENT, REPORT_PAGE
from residua.evaluation.evaluate import evaluate_model
from residua.evaluation.measures.metrics import Tally
from residua.evaluation.report.findings import Mistake
from residua.evaluation.report.matrix import confused_pairs
from residua.evaluation.report.report import Report, write_report

EVIL = ("<script>alert(1)</script>", "\" onload='x' &amp; &", "\u202eright to left", "plain")
HISTORY = tuple(
    {"epoch": epoch, "step": 10 * epoch, "train_loss": 2 / epoch, "val_loss": 2.5 / epoch, "val_top1": 1 - 1 / epoch}
    | {"learning_rate": 0.1 / epoch, "images_per_second": 100.0, "seconds": 61.0 * epoch}
    for epoch in range(1, 6)
)


def make(classes: tuple[str, ...] = EVIL, count: int = 400, wrong: float = 0.2, **changes: Any) -> Report:
    """A report of drawn predictions, `wrong` of them."""
    random = np.random.default_rng(0)
    labels = random.integers(0, len(classes), count)
    predicted = np.where(random.random(count) < wrong, (labels + 1) % len(classes), labels)
    tally = Tally(len(classes))
    outcome = tally.update(torch.eye(len(classes))[predicted] * 3, torch.tensor(labels))
    found = tally.metrics(classes)
    bad = np.flatnonzero(labels != predicted)[:24]
    mistakes = tuple(
        Mistake(
            f"{classes[labels[i]]}/{i}.png",
            int(i),
            classes[labels[i]],
            classes[predicted[i]],
            float(outcome.probability[i]),
            float(outcome.true_probability[i]),
            "data:image/png;base64,AAAA",
        )
        for i in bad
    )
    counts = np.bincount(labels, minlength=len(classes)).tolist()
    report = Report(
        name="a & b",
        model={"name": "resnet18", "paper": "He 2015", "parameters": 11_181_642, "input_size": 32},
        split="test",
        count=count,
        baseline=max(counts) / count,
        classes=classes,
        worst=mistakes,
        most_confident_mistakes=mistakes[::-1][:12],
        data={
            "given": "/photos/<b>",
            "location": "/photos/<b>",
            "hash": "ab" * 32,
            "classes": list(classes),
            "counts": {"train": 3 * count, "test": count},
            "class_counts": {"train": [3 * n for n in counts], "test": counts},
            "notes": ["no validation split was given: <i>some</i> were set aside"],
            "evaluated": "the run's own held-out part",
        },
        recipe={"name": "fast", "epochs": 5, "nesterov": True, "augment": {"flip": True, "scale": [0.25, 1.0]}},
        environment={"residua": "0.1.0", "torch": "2.15", "date": "2026-01-02 03:04 UTC"},
        history=HISTORY,
        **{
            name: getattr(found, name)
            for name in ("top1", "top1_interval", "top5", "loss", "macro_f1", "balanced_accuracy")
        },
        per_class=found.per_class,
        confusion=found.confusion,
    )
    return replace(report, **changes)


VOID = {"meta", "link", "img", "br", "line", "rect", "circle", "path"}
IMPLIED = {"td", "tr", "li"}  # HTML lets their end tags be left out


class Page(HTMLParser):
    """Checks that tags nest, and collects what the tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            if tag in IMPLIED and self.open[-1] in ("td", tag):
                self.open.pop()
                if tag == "tr" and self.open[-1] == "tr":
                    self.open.pop()
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.open[-1] != tag and self.open[-1] in IMPLIED:
            self.open.pop()
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    @property
    def pieces(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_json_has_every_field_and_no_pictures() -> None:
    report = make()
    document = json.loads(report.to_json())
    assert set(document) == set(Report.__dataclass_fields__) - {"predictions"}
    for name in ("top1", "top5", "loss", "count", "split", "baseline"):
        assert document[name] == getattr(report, name)
    assert document["confusion"] == report.confusion.tolist()
    assert document["per_class"][0]["recall"] == report.per_class[0].recall
    assert document["worst"][0]["path"] == report.worst[0].path
    assert "base64" not in report.to_json()
    assert sum(map(sum, document["confusion"])) == report.count


def test_json_is_json_even_of_numbers_that_it_lacks() -> None:
    rows = ({"epoch": 1, "train_loss": float("nan")},)
    assert json.loads(make(history=rows).to_json())["history"] == [{"epoch": 1, "train_loss": None}]
    make(history=rows).to_html()


def test_both_files_are_written(tmp_path: Path) -> None:
    page, document = write_report(tmp_path, make())
    assert (page, document) == (tmp_path / REPORT_PAGE, tmp_path / REPORT_DOCUMENT)
    assert sorted(item.name for item in tmp_path.iterdir()) == [REPORT_PAGE, REPORT_DOCUMENT]
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_page_begins_with_what_matters() -> None:
    report = make()
    page = Page(report.to_html())
    text, start = page.text, page.text[:1800]
    for part in (
        "resnet18 on <b>",
        f"{100 * report.top1:.1f}%",
        f"95% interval {100 * report.top1_interval[0]:.1f}% to {100 * report.top1_interval[1]:.1f}%",
        "from 400 images of the test part",
        "trained on 1,200 images",
        "for 5 epochs in 5 min",
        "The run's own held-out part.",
        "What goes wrong",
        f"{report.count - int(np.trace(report.confusion))} of 400 images are wrong",
        "The weakest class is",
    ):
        assert part in start
    for part in ("Training curves", "Confusion matrix", "Class by class", "Worst mistakes", "Most confident mistakes"):
        assert part in text
    for part in ("augment.flip yes", "augment.scale 0.25, 1", "nesterov yes", "torch 2.15", "He 2015", "ab" * 32):
        assert part in page.pieces


def test_the_page_asks_for_nothing() -> None:
    html = make().to_html()
    page = Page(html)
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), f"<{tag} {name}={value}>"
    assert not re.search(r"url\(|@import|https?://", html)
    policies = [attributes["content"] for attributes in page.all("meta") if "http-equiv" in attributes]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert not page.all("script")


def test_names_are_text_and_nothing_else() -> None:
    html = make(name="<img src=x onerror=alert(1)>").to_html()
    page = Page(html)
    assert not page.all("script")
    assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert [attributes for attributes in page.all("img") if not str(attributes["src"]).startswith("data:")] == []
    for name in EVIL:
        assert " ".join(name.split()) in page.text


@pytest.mark.parametrize("count", [2, 3, 10, 30, 100])
def test_the_matrix_is_whole(count: int) -> None:
    report = make(tuple(f"class {index}" for index in range(count)), count=20 * count)
    html = report.to_html()
    Page(html)
    table = html[html.index('<table class="matrix') : html.index("</table>", html.index('<table class="matrix'))]
    rows = table.split("<tr>")[2:]
    assert len(rows) == count
    for row, line in zip(rows, report.confusion, strict=True):
        cells = re.findall(r"<td[^>]*>([^<]*)", row)
        numbers = [int(cell.strip().replace(",", "") or 0) for cell in cells]
        assert numbers == line.tolist()
    assert table.count('scope="row"') == count
    assert table.count('scope="col"') == count + 1
    assert len(html) < 2_000_000


def test_many_classes_are_cut_to_those_that_matter_and_said_so() -> None:
    report = make(tuple(f"n{index:05}" for index in range(1000)), count=3000)
    html = report.to_html()
    assert len(html) < 3_000_000
    assert "950 others are left out here" in Page(html).text


def test_no_mistakes_no_history_no_recipe() -> None:
    report = make(wrong=0.0, worst=(), most_confident_mistakes=(), history=(), recipe=None, data={})
    text = Page(report.to_html()).text
    assert "None of the 400 images is classified wrongly" in text
    assert "may still be up to 1.0%" in text
    for part in ("Worst mistakes", "Training curves", "Recipe"):
        assert part not in text


def test_one_epoch_is_a_table_and_not_a_curve() -> None:
    page = Page(make(history=HISTORY[:1]).to_html())
    assert "Training curves" in page.text
    assert "open" in page.all("details")[0]
    assert [attributes["class"] for attributes in page.all("svg")] == ["interval"]


def test_curves_without_validation() -> None:
    rows = tuple({**row, "val_loss": None, "val_top1": None} for row in HISTORY)
    page = Page(make(history=rows).to_html())
    assert "Best validation accuracy" not in page.text
    assert len(page.all("svg")) == 3  # the interval, the loss, the learning rate


def test_a_result_no_better_than_guessing_is_called_that() -> None:
    text = Page(make(wrong=0.9).to_html()).text
    assert "Not shown to be better than always answering the most frequent class" in text
    assert "Not shown to be better" not in Page(make(wrong=0.1).to_html()).text


def test_two_classes_show_one_list_of_mistakes() -> None:
    report = make(("a", "b"))
    report = replace(report, most_confident_mistakes=report.worst[:12])
    text = Page(report.to_html()).text
    assert "Most confident mistakes" not in text
    assert "which are also the surest mistakes" in text


def test_absent_and_never_predicted_classes_are_named() -> None:
    report = make(("a", "b", "c", "d"))
    tally = Tally(4)
    tally.update(torch.eye(4)[[0, 0, 1, 0]], torch.tensor([0, 0, 1, 2]))
    found = tally.metrics(report.classes)
    report = replace(report, per_class=found.per_class, confusion=found.confusion, count=4, top1=0.75)
    page = Page(report.to_html())
    assert "Never predicted: c." in page.text
    assert "Without images here, and therefore not measured: d." in page.text


def test_pairs_are_counted_against_the_true_class() -> None:
    confusion = np.array([[5, 4, 1], [0, 8, 2], [0, 0, 0]])
    assert confused_pairs(confusion, "abc") == [("a", "b", 4, 0.4), ("b", "c", 2, 0.2), ("a", "c", 1, 0.1)]
    assert confusion[0, 0] == 5, "the report's matrix is left alone"


def test_the_worst_and_the_surest_are_distinguished() -> None:
    """The worst gives the truth the least, the surest gives an error the most: not the same with three classes."""
    from residua.data.dataset import Split
    from residua.data.image_source import ArrayImages
    from residua.specs.preprocess import PreprocessSpec

    class Fixed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.logits = torch.nn.Parameter(torch.tensor([[0.0, 3.0, 2.9], [0.0, 2.5, -9.0], [9.0, 0.0, 0.0]]))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.logits[: len(images)]

    split = Split("test", np.zeros(3, np.int64), ArrayImages(np.zeros((3, 8, 8, 3), np.uint8)))
    report = evaluate_model(Fixed(), split, PreprocessSpec(8, 8), ("a", "b", "c"))
    assert [mistake.index for mistake in report.worst] == [0, 1]
    assert [mistake.index for mistake in report.most_confident_mistakes] == [1, 0]
