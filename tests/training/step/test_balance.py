"""Weights of classes and adjusted logits, against scikit-learn, torch and the papers' formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from residua._base.errors import InputError
from residua.training.recipe import Recipe
from residua.training.step.balance import EQUAL, choose_balance, class_weights
from residua.training.step.loss import training_loss

COUNTS = np.array([900, 90, 10])
CPU = torch.device("cpu")


def test_inverse_frequencies_are_scikit_learns() -> None:
    weights = pytest.importorskip("sklearn.utils.class_weight")
    labels = np.repeat([0, 1, 2], COUNTS)
    expected = weights.compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert class_weights(COUNTS, 1.0) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 0.9999])
def test_effective_numbers_are_cuis_up_to_scale(beta: float) -> None:
    weights = class_weights(COUNTS, beta)
    effective = (1 - beta**COUNTS) / (1 - beta)
    assert weights / weights[0] == pytest.approx(effective[0] / effective, rel=1e-9)
    assert weights @ COUNTS / COUNTS.sum() == pytest.approx(1)


def test_the_limit_of_effective_numbers_is_the_inverse_frequency() -> None:
    assert class_weights(COUNTS, 1 - 1e-12) == pytest.approx(class_weights(COUNTS, 1.0), rel=1e-6)


def test_weighted_losses() -> None:
    logits, labels = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 3
    balance = choose_balance(Recipe(balance="loss"), COUNTS, CPU)
    assert balance.weights is not None
    weighted = training_loss(logits, labels, balance=balance)
    summed = functional.cross_entropy(logits, labels, weight=balance.weights, reduction="sum")
    assert weighted.item() == pytest.approx(summed.item() / 64, rel=1e-6)
    # Probabilities instead of indices, as mixed images have them, give the same where nothing is mixed.
    soft = training_loss(logits, functional.one_hot(labels, 3).float(), balance=balance)
    assert soft.item() == pytest.approx(weighted.item(), rel=1e-6)


def test_adjusted_logits_are_menons() -> None:
    logits, labels = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 3
    balance = choose_balance(Recipe(balance="logits", balance_tau=2.0), COUNTS, CPU)
    shares = torch.from_numpy(COUNTS / COUNTS.sum()).float()
    # Equation 10: log[1 + sum over the others of (pi_o / pi_y)^tau e^(f_o - f_y)].
    ratio = (shares[None, :] / shares[labels][:, None]) ** 2
    margin = torch.exp(logits - logits.gather(1, labels[:, None])) * ratio
    expected = torch.log(1 + margin.sum(1) - 1).mean()
    assert training_loss(logits, labels, balance=balance).item() == pytest.approx(expected.item(), rel=1e-5)


def test_none_and_sampler_leave_the_loss_as_it_is() -> None:
    for kind in ("none", "sampler"):
        assert choose_balance(Recipe(balance=kind), COUNTS, CPU) is EQUAL


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"balance_beta": 0.9}, "balance_beta=0.9 with balance='none'"),
        ({"balance": "loss", "balance_tau": 2.0}, "balance_tau=2 with balance='loss'"),
        ({"balance": "weights"}, "balance='weights'"),
        ({"keep_by": "loss"}, "keep_by='loss'"),
    ],
)
def test_fields_that_have_no_effect_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recipe(**fields)
