"""The rules that only need numbers: best, plateau, early stop."""

from __future__ import annotations

import json
from dataclasses import asdict

from residua.training.recipe import Recipe
from residua.training.state import State


def run(recipe: Recipe, outcomes: list[tuple[float, float]]) -> tuple[State, list[bool]]:
    state, best = State(), []
    for top1, loss in outcomes:
        state.step, state.loss_sum, state.images = 5, 2.0, 4
        best.append(state.rank(recipe, top1, loss))
        state.end_epoch(5 * (state.epoch + 1), 0.1, {"loss": loss, "top1": top1, "balanced_accuracy": top1 / 2})
        if state.stopped_early:
            break
    return state, best


def test_the_best_is_by_accuracy_then_by_loss() -> None:
    state, best = run(Recipe(), [(0.5, 1.0), (0.5, 1.1), (0.5, 0.9), (0.6, 2.0), (0.4, 0.1)])
    assert best == [True, False, True, True, False]
    assert (state.best_epoch, state.best_top1, state.best_loss) == (4, 0.6, 2.0)


def test_early_stop_counts_epochs_without_a_better_one() -> None:
    state, _ = run(Recipe(early_stop_epochs=2), [(0.5, 1), (0.6, 1), (0.6, 1), (0.6, 1), (0.9, 1)])
    assert state.stopped_early
    assert state.epoch == 4


def test_plateau_multiplies_after_its_patience() -> None:
    recipe = Recipe(plateau_factor=0.5, plateau_patience=2)
    state, _ = run(recipe, [(0.5, 1.0), (0.5, 1.0), (0.5, 0.99995), (0.5, 0.5), (0.5, 0.6), (0.5, 0.6)])
    assert state.plateau_scale == 0.25


def test_the_state_survives_json_and_history_lines_have_the_agreed_keys() -> None:
    state, _ = run(Recipe(), [(0.1, 1 / 3), (0.2, 0.1)])
    assert State.from_dict(json.loads(json.dumps(asdict(state)))) == state
    keys = "epoch step train_loss val_loss val_top1 val_balanced_accuracy learning_rate images_per_second seconds"
    assert [list(line) for line in state.history] == [keys.split()] * 2
    assert state.history[1]["train_loss"] == 0.5
