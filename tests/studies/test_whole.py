"""Every study that measures: measure and conclude on small networks that were hardly trained, down to the page."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from residua.data.open import open_dataset
from residua.families.build import build
from residua.specs.preprocess import PreprocessSpec
from residua.studies.catalog import get_study
from residua.studies.measures.subject import Subject
from residua.studies.questions import gradients, paths
from residua.studies.report import conclude
from residua.studies.study import Arm, StudyOptions
from residua.weights.bundle.value import Bundle
from residua.weights.run import Run
from studies.grids import result, results

MEASURING = {"lesion": (), "gradients": (8,), "responses": (8, 14), "paths": ()}


def subject(arm: Arm, seed: int = 0) -> Subject:
    """The arm's network as it begins, on small digits."""
    dataset = open_dataset("digits", train_images=100)
    torch.manual_seed(seed)
    spec = arm.spec.edit(widths=(4, 8, 8), stem_width=4)
    bundle = Bundle(
        Path("nowhere"), spec, dataset.classes, PreprocessSpec(8, 8), recipe={"seed": seed}, weights_sha256="0" * 64
    )
    run = Run(build(spec).eval(), bundle)
    return Subject(run, dataset, True, seed)


@pytest.mark.parametrize("name", MEASURING)
def test_from_networks_to_the_page(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "_BATCHES", 2)
    monkeypatch.setattr(paths, "_BATCH", 20)
    study = get_study(name)
    options = StudyOptions(True, MEASURING[name], "cifar_resnet14" if study.takes_model else "")
    arms = list(study.grid(options))
    assert study.measure is not None
    found = [result(arm, measured=json.loads(json.dumps(study.measure(subject(arm))))) for arm in arms]
    report = conclude(
        study,
        results(arms, found),
        failed={},
        data={"given": "digits", "hash": "0", "counts": {"train": 100}, "notes": []},
        recipe=None,
        seeds=1,
        command=f"residua study {name} digits --quick",
    )
    assert report.verdict.answer in ("yes", "no", "undecided")
    assert report.outcome.figures
    assert all(figure.svg for figure in report.outcome.figures)
    assert all(len(row) == len(table.header) for table in report.outcome.tables for row in table.rows)
    page = report.to_html()
    assert page.count("<svg") == len(report.outcome.figures)
    assert json.loads(report.to_json())["verdict"]["sentence"] == report.verdict.sentence
    # An arm that gave nothing is missed, not stumbled over.
    less = results(arms, found[:1])
    assert dataclasses.replace(report, results=less, outcome=study.conclude(less)).to_html()


def test_what_began_is_drawn_from_the_runs_seed() -> None:
    arm = Arm("a", "cifar_resnet8")
    drawn = subject(arm, seed=3)
    ours, theirs = drawn.initial().state_dict(), drawn.model.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_batches_are_mixed_though_folders_list_class_by_class() -> None:
    drawn = subject(Arm("a", "cifar_resnet8"))
    part = drawn.dataset.splits["test"]
    part = part.subset(np.argsort(part.labels, kind="stable"))
    drawn = dataclasses.replace(drawn, dataset=dataclasses.replace(drawn.dataset, splits={"test": part}))
    batches = [batch.labels.tolist() for batch in drawn.batches("test", 200, 50)]
    assert [len(set(labels)) for labels in batches] == [10] * 4
    assert [batches.count(labels) for labels in batches] == [1] * 4
    assert batches == [batch.labels.tolist() for batch in drawn.batches("test", 200, 50)]
