"""Ensembles: weights of the members, selection of members, and how much they differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from residua._base.errors import InputError
from residua._base.words import counted
from residua.evaluation.measures.metrics import Outcome
from residua.evaluation.measures.significance import McNemar

_ROUNDS = 20_000  # of expectation and maximisation: a bound, where the gap does not end it first
_GAP = 1e-9  # nats: the search ends when the likelihood is this close to its optimum
_GREEDY_ROUNDS = 50  # members may repeat: weights are multiples of 1/50 or more


@dataclass(frozen=True)
class Pair:
    """The differences between two members; rates are fractions of 1.

    Attributes:
        first: name of one member.
        second: name of the other.
        disagreement: share of images that they classify differently.
        double_fault: share of images that both classify wrongly (Giacinto & Roli 2001).
        error_correlation: Pearson's correlation of their mistakes; None where one is always right or always wrong.
    """

    first: str
    second: str
    disagreement: float
    double_fault: float
    error_correlation: float | None


@dataclass(frozen=True)
class Member:
    """One network of an ensemble, on the evaluated images.

    Attributes:
        name: the name of its run.
        model: the name of its network.
        weight: its share of the average.
        top1: its own accuracy, fraction of 1.
        loss: its own mean cross-entropy, nats.
    """

    name: str
    model: str
    weight: float
    top1: float
    loss: float


@dataclass(frozen=True)
class Ensemble:
    """The members of an ensemble, and its gain over the best of them.

    Attributes:
        members: in the order given.
        weights: "equal", "val" (fitted on the validation part), or either after "greedy".
        diversity: every pair of members with weights above 0.
        best: name of the member with the highest top-1 on the evaluated images.
        against_best: McNemar's test of the ensemble against it.
        explained: name of the member with the largest weight, the first of equals; its Grad-CAM explains mistakes.
    """

    members: tuple[Member, ...]
    weights: str
    diversity: tuple[Pair, ...]
    best: str
    against_best: McNemar
    explained: str = ""

    @property
    def alone(self) -> str:
        """The name of the only member with a weight above 0: the answers are its own; "" where there are several."""
        kept = [member.name for member in self.members if member.weight > 0]
        return kept[0] if len(kept) == 1 else ""


def heaviest(members: Sequence[Member]) -> int:
    """Return the position of the member with the largest weight, the first of equals."""
    return max(range(len(members)), key=lambda member: (members[member].weight, -member))


def fit_weights(log_probabilities: Sequence[Tensor], labels: Tensor) -> list[float]:
    """Return the weights that minimise the cross-entropy of the averaged probabilities: ≥ 0, summing to 1.

    The problem is convex. Expectation-maximisation for the shares of a mixture climbs to its optimum, and stops when
    the largest derivative bounds the remaining gain by 1e-9 nats.

    Args:
        log_probabilities: of each member, (N, K).
        labels: (N,), class indices.

    Raises:
        InputError: no members or no images.
    """
    logs = _of_truth(log_probabilities, labels)
    # Only ratios matter: scaling per image keeps images that all members find impossible from underflowing to 0.
    likelihood = (logs - logs.amax(dim=0)).exp()
    weights = torch.full((len(likelihood),), 1 / len(likelihood), dtype=torch.float64)
    for _ in range(_ROUNDS):
        gain = (likelihood / (weights @ likelihood)).mean(dim=1)
        if float(gain.max()) - 1 < _GAP:
            break
        weights = weights * gain
        weights = weights / weights.sum()
    # Weights that only approach 0 are set to 0.
    weights = torch.where(weights < 1e-6, torch.zeros_like(weights), weights)
    return [float(w) for w in weights / weights.sum()]


def select_greedily(log_probabilities: Sequence[Tensor], labels: Tensor) -> list[float]:
    """Return weights by greedy forward selection with replacement (Caruana 2004).

    It starts with the best member. Up to 50 times it adds the member that lowers the cross-entropy of the average most,
    and stops when none lowers it. A member's weight is its share of the choices; the first of equals is chosen.

    Args:
        log_probabilities: of each member, (N, K).
        labels: (N,), class indices.

    Raises:
        InputError: no members or no images.
    """
    logs = _of_truth(log_probabilities, labels)
    chosen = torch.zeros(len(logs), dtype=torch.float64)
    # In logarithms the loss stays finite even where a member gives the true class almost no probability.
    total, least = torch.full_like(logs[0], -math.inf), math.inf
    for taken in range(_GREEDY_ROUNDS):
        losses = math.log(taken + 1) - torch.logaddexp(total, logs).mean(dim=1)
        best = int(losses.argmin())
        if taken and float(losses[best]) >= least - 1e-12:
            break
        least = float(losses[best])
        chosen[best] += 1
        total = torch.logaddexp(total, logs[best])
    return [float(w) for w in chosen / chosen.sum()]


def diversity(names: Sequence[str], outcomes: Sequence[Outcome]) -> tuple[Pair, ...]:
    """Return the differences of each pair of members on the same images."""
    pairs = []
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            one, other = outcomes[i], outcomes[j]
            wrong = np.stack([~one.correct, ~other.correct]).astype(np.float64)
            apart = wrong - wrong.mean(axis=1, keepdims=True)
            spread = float(np.sqrt((apart**2).sum(axis=1).prod()))
            pairs.append(
                Pair(
                    names[i],
                    names[j],
                    float((one.predicted != other.predicted).mean()),
                    float(wrong.prod(axis=0).mean()),
                    float((apart[0] * apart[1]).sum()) / spread if spread > 0 else None,
                )
            )
    return tuple(pairs)


def _of_truth(log_probabilities: Sequence[Tensor], labels: Tensor) -> Tensor:
    """Return (M, N), the log-probability that each member gives to the true class."""
    if not log_probabilities or not len(labels):
        raise InputError(
            f"{counted(len(log_probabilities), 'member')} and {counted(len(labels), 'image')} to weight them on",
            "at least one of each",
            "Use weights='equal', which needs no images",
        )
    truth = labels.to(torch.int64)[:, None]
    return torch.stack([log.gather(1, truth)[:, 0].to(torch.float64) for log in log_probabilities])
