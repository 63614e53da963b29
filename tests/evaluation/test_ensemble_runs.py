"""Ensembles: weights at an independent optimum, greedy selection by its definition, members matched by class name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from evaluation.runs import COLOURS, colour_folder, colour_run
from residua._base.errors import InputError
from residua.data.open import open_dataset
from residua.evaluation.evaluate import evaluate, warn_of_weights
from residua.evaluation.measures.ensemble import diversity, fit_weights, select_greedily
from residua.evaluation.measures.metrics import tally_of
from residua.evaluation.scores.scores import Scores, combined
from residua.weights.open import load

WRONG = [("red", "blue"), ("green", "red")]


def draw(members: int, count: int, seed: int = 0) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Members of which each knows some of the classes better."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, count)
    logs = []
    for member in range(members):
        logits = random.normal(size=(count, 4))
        logits[np.arange(count), labels] += np.where(labels % members == member, 2.0, 0.3 * member)
        logs.append(torch.from_numpy(logits).log_softmax(1))
    return logs, torch.from_numpy(labels)


@pytest.mark.parametrize(("members", "seed"), [(1, 0), (2, 0), (3, 1), (5, 2)])
def test_weights_are_the_optimum_on_the_simplex(members: int, seed: int) -> None:
    logs, labels = draw(members, 300, seed)
    ours = np.array(fit_weights(logs, labels))
    p = torch.stack(logs).gather(2, labels.expand(members, -1)[..., None])[..., 0].exp().numpy()

    def loss(weights: np.ndarray) -> float:
        return float(-np.log(np.maximum(weights @ p, 1e-300)).mean())

    wanted = minimize(
        loss, np.full(members, 1 / members), method="SLSQP", bounds=[(0, 1)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1}, options={"ftol": 1e-13, "maxiter": 500},
    )  # fmt: skip
    assert ours.sum() == pytest.approx(1)
    assert (ours >= 0).all()
    assert loss(ours) == pytest.approx(wanted.fun, abs=1e-6)
    assert loss(ours) <= wanted.fun + 1e-6


def test_a_member_that_adds_nothing_gets_nothing() -> None:
    logs, labels = draw(2, 200)
    useless = torch.full_like(logs[0], -50.0).scatter(1, (labels[:, None] + 1) % 4, 0.0).log_softmax(1)
    assert fit_weights([*logs, useless], labels)[2] == 0
    assert select_greedily([*logs, useless], labels)[2] == 0
    impossible = torch.zeros(4, 2, dtype=torch.float64)
    impossible[:, 0] = -2000
    found = fit_weights([impossible.log_softmax(1)] * 2, torch.zeros(4, dtype=torch.int64))
    assert found == [0.5, 0.5], "though both find the truth impossible"


@pytest.mark.parametrize("chooses", [select_greedily, fit_weights])
def test_images_that_another_member_explains_by_far(chooses: Callable[..., list[float]]) -> None:
    """Each member has an image of which its share of the truth underflows."""
    logs = [torch.tensor([[-800.0, 0.0], [-0.1, -2.3]]), torch.tensor([[-0.1, -2.3], [-900.0, 0.0]])]
    found = chooses([log.double().log_softmax(1) for log in logs], torch.tensor([0, 0]))
    assert found == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("weights", [None, [0.7, 0.0, 0.3]])
def test_the_average_is_that_of_probabilities(weights: list[float] | None) -> None:
    logs, labels = draw(3, 40)
    places = np.arange(40)
    scores = [Scores("1", log * 3 + 5, labels.numpy(), places, {}, 1.0) for log in logs]
    found = combined(scores, weights).logits
    shares = torch.tensor(weights or [1 / 3] * 3, dtype=torch.float64)
    wanted = (shares[:, None, None] * torch.stack([(log * 3).softmax(1) for log in logs])).sum(0)
    torch.testing.assert_close(found.exp(), wanted, rtol=1e-12, atol=0)


def test_greedy_selection_is_the_definition() -> None:
    logs, labels = draw(4, 150, seed=5)
    p = torch.stack(logs).exp()
    chosen: list[int] = []

    def loss(members: list[int]) -> float:
        return float(torch.nn.functional.nll_loss(p[members].mean(0).log(), labels))

    while len(chosen) < 50:
        best = min(range(4), key=lambda member: loss([*chosen, member]))
        if chosen and loss([*chosen, best]) >= loss(chosen):
            break
        chosen.append(best)
    assert select_greedily(logs, labels) == pytest.approx([chosen.count(member) / len(chosen) for member in range(4)])
    assert len(set(chosen)) > 1


def test_diversity_is_counted() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2])
    right = torch.eye(3, dtype=torch.float64)[labels] * 3
    one, other = right.clone(), right.clone()
    one[0], one[2] = torch.tensor([0.0, 3, 0]), torch.tensor([3.0, 0, 0])
    other[0], other[4] = torch.tensor([0.0, 0, 3]), torch.tensor([3.0, 0, 0])
    outcomes = [tally_of(logits, labels).outcome() for logits in (one, other, right)]
    first, second, _ = diversity(["a", "b", "c"], outcomes)
    assert (first.first, first.second) == ("a", "b")
    assert first.disagreement == pytest.approx(3 / 5)
    assert first.double_fault == pytest.approx(1 / 5)
    wanted = np.corrcoef([1, 0, 1, 0, 0], [1, 0, 0, 0, 1])[0, 1]
    assert first.error_correlation == pytest.approx(wanted, abs=1e-12)
    assert second.error_correlation is None, "one of them makes no mistake"


def confused(folder: Path, classes: tuple[str, ...] = tuple(COLOURS), data: Path | None = None) -> Path:
    """A run that takes blue for red, though it is less sure of it."""
    run = load(colour_run(folder, classes, data=data))
    weights = run.model.state_dict()["fc.weight"]
    with torch.no_grad():
        weights[:, 2] = weights[:, 0] / 2
    run.save_pretrained(folder)
    return folder


def test_probabilities_are_averaged_by_class_name(tmp_path: Path) -> None:
    data = colour_folder(tmp_path / "data", WRONG)
    one, other = colour_run(tmp_path / "one"), confused(tmp_path / "other", ("blue", "green", "red"))
    report = evaluate(one, data, members=[other])
    single, second = evaluate(one, data), evaluate(other, data)
    found = report.ensemble
    assert found is not None
    assert (second.top1, single.top1) == (21 / 32, 30 / 32)
    assert [member.top1 for member in found.members] == [single.top1, second.top1]
    assert [member.loss for member in found.members] == pytest.approx([single.loss, second.loss])
    assert [member.weight for member in found.members] == [0.5, 0.5]
    assert (found.best, report.name) == ("one", "one + other")
    # Of equal weights the first; in its own class order a member shows the same.
    assert (found.explained, report.worst[0].explanation) == ("one", single.worst[0].explanation)
    assert report.classes == tuple(COLOURS)
    sure = np.exp(4) / (np.exp(4) + 2)
    assert report.worst[0].probability == pytest.approx(sure, abs=1e-3)
    # The blue picture among the red ones: one is sure of blue, the other less so of red.
    assert report.worst[1].probability == pytest.approx((sure + 1 / (np.exp(2) + 2)) / 2, abs=1e-3)
    assert report.confusion[2].tolist() == [0, 0, 10]
    assert report.model["parameters"] == 2 * single.model["parameters"]
    assert (found.against_best.only_first, found.against_best.only_second) == (0, 0)
    assert report.calibrated is None
    assert "trained on by one, other was not checked" in report.data["unchecked"]
    assert report.to_dict()["ensemble"]["best"] == "one"
    assert "<html" in report.to_html()


def test_weights_from_the_validation_part(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for part in ("train", "val", "test"):
        colour_folder(data / part, WRONG)
    one, other = colour_run(tmp_path / "one", data=data), confused(tmp_path / "other", data=data)
    equal, fitted, greedy = (
        evaluate(one, members=[other], **options)  # type: ignore[arg-type]
        for options in ({}, {"member_weights": "val"}, {"select": "greedy", "member_weights": "val"})
    )
    assert fitted.ensemble is not None
    assert fitted.ensemble.explained == max(fitted.ensemble.members, key=lambda member: member.weight).name
    assert greedy.ensemble is not None
    assert fitted.ensemble.weights == "val"
    assert fitted.ensemble.members[0].weight > 0.5
    assert fitted.loss < equal.loss
    assert fitted.top1 == 30 / 32
    assert greedy.ensemble.weights == "greedy, val"
    assert fitted.remarks == ()
    warn_of_weights.cache_clear()
    with pytest.warns(UserWarning, match="called member_weights"):
        former = evaluate(one, members=[other], weights="val")
    assert former.loss == fitted.loss
    with pytest.raises(InputError, match="to be evaluated as well"):
        evaluate(one, members=[other], member_weights="val", split="val")
    with pytest.raises(InputError, match="a single run"):
        evaluate(one, member_weights="val")


def test_doubts_about_the_images_that_weight_the_members(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for part in ("train", "val", "test"):
        colour_folder(data / part, WRONG, count=2)
    best = {"name": "fast", "epochs": 2, "augment": {"flip": True}, "keep": "best"}
    one = colour_run(tmp_path / "one", data=data, recipe=best)
    other = colour_run(tmp_path / "other", data=data, recipe=best)
    (said,) = evaluate(one, members=[other], member_weights="val").remarks
    assert said.startswith("of the images that weight the members: the epoch of other was chosen")
    elsewhere = evaluate(one, members=[colour_run(tmp_path / "third")], select="greedy")
    assert [remark.partition(":")[0] for remark in elsewhere.remarks] == ["of the images that weight the members"]
    assert "third was not checked" in elsewhere.data["unchecked"]
    for split, flattered in (("val", True), ("test", False)):
        report = evaluate(one, members=[other], split=split)
        assert ("Its epoch was chosen on them" in report.data["evaluated"]) is flattered
        assert any("the epoch of other was chosen on these" in note for note in report.remarks) is flattered


def test_members_that_have_learnt_from_the_images(tmp_path: Path) -> None:
    data = colour_folder(tmp_path / "data", WRONG)
    one = colour_run(tmp_path / "one", data=data)

    def other(**changes: object) -> Path:
        run = load(colour_run(tmp_path / "other", data=data))
        return replace(run, bundle=replace(run.bundle, data=run.data | changes)).save_pretrained(tmp_path / "other")

    assert evaluate(one, members=[other()]).remarks == ()
    held = set(open_dataset(data, val_fraction=0.2, seed=4).splits["val"].images.files)
    learnt = set(open_dataset(data, val_fraction=0.2, seed=5).splits["train"].images.files)
    with pytest.raises(InputError, match=f"learnt from {len(held & learnt)} of the {len(held)} images of the val part"):
        evaluate(one, members=[other(seed=5)])
    with pytest.raises(InputError, match="learnt from 6 of the 6"):
        evaluate(one, members=[other(val_fraction=0.0)])
    assert "was trained on 26 of these" in evaluate(one, members=[other()], split="train").remarks[0]
    with pytest.raises(InputError, match="classes"):
        evaluate(one, members=[_renamed(colour_run(tmp_path / "strange", data=data))])


def _renamed(folder: Path) -> Path:
    run = load(folder)
    renamed = replace(run.bundle, classes=("red", "green", "azure"))
    return replace(run, bundle=renamed).save_pretrained(folder)
