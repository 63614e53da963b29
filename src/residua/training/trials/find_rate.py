"""The learning-rate finder: a curve of losses at rising rates, and the rate that a published rule reads from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from residua._base.errors import Damaged
from residua._base.files import write_text, writing
from residua._base.json_file import read_json
from residua._base.run_files import CHECKPOINTS
from residua._base.signals import StopRequest
from residua.training.plan import Plan
from residua.training.recipe import Recipe
from residua.training.trials.range_test import sweep

STEPS = 100
"""The most steps of a search: as many as fastai's `lr_find`."""
RULE = 'a tenth of the rate at which the smoothed loss was lowest ("min loss divided by 10" of fastai\'s lr_find)'
_TENTH = 10.0
_BLOWN_UP = 4.0  # times the lowest smoothed loss, as there
# First and last rate. Those of Adam's kind move a weight by about the rate in each step, whatever the gradient is.
_SPANS = {"sgd": (1e-5, 10.0), "muon": (1e-5, 10.0), "adam": (1e-7, 1.0), "adamw": (1e-7, 1.0)}
_FILE = Path(CHECKPOINTS) / "rate_search.json"


@dataclass(frozen=True)
class RateSearch:
    """The outcome of a search.

    Attributes:
        learning_rate: the suggestion, of two digits; None where the loss never fell.
        lowest_at: the rate at which the smoothed loss was lowest.
        rule: how the suggestion follows.
        rates: of the steps, rising.
        losses: smoothed, after each step.
    """

    learning_rate: float | None
    lowest_at: float
    rule: str
    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def sentence(self) -> str:
        """The outcome in one line."""
        if self.learning_rate is None:
            return f"The loss fell at no learning rate from {self.rates[0]:.2g} to {self.rates[-1]:.2g}"
        return (
            f"Learning rate {self.learning_rate:g}: in {len(self.rates)} steps at rates from {self.rates[0]:.2g} to "
            f"{self.rates[-1]:.2g} the loss was lowest at {self.lowest_at:.2g}; the rule is {self.rule}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the search as JSON values."""
        return {**asdict(self), "rates": list(self.rates), "losses": list(self.losses)}

    def write(self, folder: Path) -> None:
        """Write the search into a run's folder, for its report."""
        with writing(folder / _FILE):
            write_text(folder / _FILE, json.dumps(self.to_dict()))


def find_rate(plan: Plan, stop: StopRequest) -> RateSearch | None:
    """Search a learning rate for a run; its trainer, order and generators stay as they are.

    Smith 2015 (arXiv 1506.01186, section 3.3): train for some steps while the rate rises by one factor per step. None
    comes back where a signal came or memory is short.
    """
    lowest, highest = _SPANS[plan.recipe.optimizer]
    outcome = sweep(plan, stop, lowest=lowest, highest=highest, steps=STEPS, blown_up=_BLOWN_UP)
    if outcome is None or not outcome.losses:
        return None
    best = outcome.rates[outcome.lowest or 0]
    rate = float(f"{best / _TENTH:.1e}") if outcome.lowest else None
    return RateSearch(rate, best, RULE, outcome.rates, outcome.losses)


def with_rate(recipe: Recipe, rate: float) -> dict[str, float]:
    """Return the fields of a recipe that a found rate changes: a floor of the schedule stays below its peak."""
    return {"learning_rate": rate} | {
        name: rate for name in ("final_learning_rate", "min_learning_rate") if getattr(recipe, name) > rate
    }


def read_search(folder: Path) -> Mapping[str, Any] | None:
    """Return the search in a run's folder as JSON values; None where it has none that can be read."""
    try:
        return read_json(folder / _FILE, dict)
    except Damaged:
        return None
