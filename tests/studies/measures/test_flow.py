"""d(x + F(x))/dx = 1 + ∂F/∂x: the two terms of each unit's gradient, public and on the page of the study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from residua._base.errors import InputError
from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.studies.catalog import get_study
from residua.studies.measures.flow import split_gradient
from residua.studies.measures.surgery import named_units
from residua.studies.study import StudyOptions
from studies.grids import result, results
from studies.measures.test_surgery import ORDERS, network

IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([1, 4, 7])


@pytest.mark.parametrize("training", [True, False])
def test_row_043_the_one_is_the_gradient_behind_the_unit(training: bool) -> None:
    """For an identity shortcut and no ReLU behind the sum, the first term is the output's gradient unchanged."""
    net = network(**ORDERS["full_pre"])
    net.layer1[0].dropout = None
    split = {unit.name: unit for unit in split_gradient(net, IMAGES, LABELS, training=training)}
    assert list(split) == list(named_units(net))
    inputs: dict[str, torch.Tensor] = {}
    for name, unit in named_units(net).items():

        def keep(module: Any, given: Any, name: str = name) -> torch.Tensor:
            inputs[name] = given[0]
            return given[0].clone()

        unit.register_forward_pre_hook(keep)
    loss = F.cross_entropy(net.train(training)(IMAGES), LABELS)
    theirs = dict(zip(inputs, torch.autograd.grad(loss, list(inputs.values())), strict=True))
    for name, gradient in theirs.items():
        torch.testing.assert_close(split[name].whole, gradient, rtol=1e-3, atol=1e-6)
    # layer1.1 reads what layer1.0 wrote: the 1 of layer1.0 is the gradient at that place.
    torch.testing.assert_close(split["layer1.0"].shortcut, split["layer1.1"].whole, rtol=1e-3, atol=1e-6)


def test_a_branch_of_zeros_leaves_the_one_alone() -> None:
    torch.manual_seed(0)
    net = build(get_spec("cifar_resnet8", zero_init_last_bn=True))
    for unit in split_gradient(net, IMAGES, LABELS):
        assert unit.branch.abs().max() == 0
        assert unit.shortcut_share == pytest.approx(1)


def test_a_plain_network_has_no_one() -> None:
    torch.manual_seed(0)
    for unit in split_gradient(build(get_spec("cifar_plain8")), IMAGES, LABELS):
        assert unit.shortcut.abs().max() == 0
        assert unit.shortcut_share == 0
    with pytest.raises(InputError, match="residual"):
        split_gradient(build(get_spec("cifar_nin")), IMAGES, LABELS)


def test_the_page_states_both_terms_of_the_run() -> None:
    study = get_study("gradients")
    arms = study.grid(StudyOptions(quick=True, depths=(20,)))
    shares = {"plain": [], "resnet": [[0.6, 0.9]], "residual": [[0.6, 0.9]]}

    def measured(group: str) -> dict[str, Any]:
        return {"units": ["a", "b"], "norms": [[1.0, 1.0, 2.0]] * 2, "shares": shares[group] * 2 or [[], []]}

    found = [result(arm, measured={"initial": measured(arm.group), "trained": measured(arm.group)}) for arm in arms]
    outcome = study.conclude(results(arms, found))
    details = " ".join(outcome.verdict.details)
    assert "d(x + F(x))/dx = 1 + ∂F/∂x: the 1 is the shortcut, which carried 75% of a unit's gradient" in details
    assert "∂F/∂x is the branch, which carried 25%" in details
    rows = {row[0]: row[-2:] for row in outcome.tables[0].rows}
    assert {tuple(row) for name, row in rows.items() if name.startswith("residual")} == {("75.0%", "25.0%")}
    assert {tuple(row) for name, row in rows.items() if name.startswith("plain")} == {("–", "–")}


def test_the_guide_states_the_formula() -> None:
    guide = Path(__file__).parents[3] / "docs/guide.md"
    assert "d(x + F(x))/dx = 1 + ∂F/∂x" in guide.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (IMAGES, LABELS[:2]),
        (IMAGES[:, :1], LABELS),
        (IMAGES, LABELS + 100),
        (IMAGES, LABELS - 5),
        (IMAGES / 0, LABELS),
        (IMAGES[0], LABELS),
    ],
    ids=["fewer labels", "one channel", "no such class", "below 0", "not finite", "no batch"],
)
def test_a_batch_that_does_not_fit_is_refused(images: torch.Tensor, labels: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"images of shape|labels of shape"):
        split_gradient(network(), images, labels)
