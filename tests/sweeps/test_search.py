"""A search: halved by whole epochs on a seed of its own, the same after a kill, and refused where it makes no sense."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from residua._base.errors import InputError
from residua.cli.app import main
from residua.grids.jobs import Job
from residua.grids.worker import work
from residua.sweeps import launch, run_sweep
from residua.sweeps.halving import kept, shortened
from residua.sweeps.outcome import Sweep
from residua.sweeps.search import SEED
from residua.sweeps.search_space import Range, space_of
from residua.sweeps.space import read_grid
from residua.training.recipe import Recipe
from residua.weights.open import load

FIXED = ["epochs=3", "train_images=64", "batch_size=16", "image_size=16", "kernels=eager", "workers=1"]
GRID = ["lr=0.001:0.3:log", "momentum=0.5", "0.9", *FIXED]
WORDS = ["sweep", "digits", "--model", "cifar_resnet8", "--grid", ",".join(GRID), "--search", "optuna"]
WORDS += ["--trials", "4", "--seeds", "2"]


class Killed(BaseException):
    """Stands for SIGKILL."""


def here(stop_after: int = -1) -> Any:
    """Train in this process, and end it after so many runs."""
    count = 0

    def run_jobs(jobs: Sequence[Job], **options: Any) -> dict[str, str]:
        nonlocal count
        for job in jobs:
            if count == stop_after:
                raise Killed
            count += 1
            work(job, 1)
        return {}

    return run_jobs


def searched(folder: Path, stop_after: int = -1, trials: int = 4) -> Sweep:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "run_jobs", here(stop_after))
        return run_sweep.sweep(
            "digits",
            "cifar_resnet8",
            folder,
            seeds=2,
            grid=read_grid(GRID),
            search="optuna",
            trials=trials,
            progress=False,
        )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    pytest.importorskip("optuna", reason="the extra optuna is not installed")
    return searched(tmp_path_factory.mktemp("search") / "a")


def test_the_best_trial_is_trained_with_seeds_that_the_search_has_not_seen(whole: Sweep) -> None:
    search = whole.search
    assert search is not None
    assert [len(trial.values) for trial in search.trials].count(3) == 1, "of four trials two go on, and of these one"
    assert [len(trial.values) for trial in search.trials].count(2) == 1
    best = search.trials[search.best]
    assert best.whole
    assert not any(trial.whole for trial in search.trials if trial.number != best.number)
    lengths = {}
    for trial in search.trials:
        for run, value in zip(trial.runs, trial.values, strict=True):
            loaded = load(whole.folder / "search" / run)
            assert loaded.recipe is not None
            assert loaded.recipe["seed"] == SEED
            assert loaded.metrics["best_val_top1"] == value
            lengths[run] = loaded.recipe["epochs"]
    assert lengths[best.runs[-1]] == 3
    assert sorted(lengths.values()) == [1, 1, 1, 1, 3], "a third of three epochs and a ninth are one epoch"
    (cell,) = whole.cells
    assert cell.label == best.label
    assert [run.seed for run in cell.runs] == [0, 1]
    for run in cell.runs:
        loaded = load(whole.folder / run.id)
        assert loaded.recipe is not None
        assert loaded.recipe["learning_rate"] == cell.fields["learning_rate"]
        assert 0.001 <= loaded.recipe["learning_rate"] <= 0.3
    assert json.loads((whole.folder / "sweep.json").read_text()) == whole.to_dict()
    page = (whole.folder / "sweep.html").read_text()
    assert "4 trials, proposed by optuna" in page
    assert best.label in page


def test_a_killed_search_comes_to_the_same_end(whole: Sweep, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    with pytest.raises(Killed):
        searched(folder, stop_after=2)
    journal = folder / "search.journal"
    with journal.open("ab") as stream:
        stream.write(b'{"op_code": 5, "half')  # a line that the kill cut off
    (folder / "search.journal.lock").symlink_to(journal)
    with pytest.raises(Killed):
        searched(folder, stop_after=2)
    again = searched(folder)
    assert again.search == whole.search
    assert [run.top1 for run in again.cells[0].runs] == [run.top1 for run in whole.cells[0].runs]


def test_the_same_command_trains_nothing_and_more_trials_join(
    whole: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[int]] = []

    def run_jobs(jobs: Sequence[Job], **options: Any) -> dict[str, str]:
        asked.append([job.recipe.seed for job in jobs])
        return {job.name: "exit code 9" for job in jobs}

    monkeypatch.setattr(launch, "run_jobs", run_jobs)
    assert main([*WORDS, "--out", str(whole.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == whole.to_dict()
    assert not any(asked)
    assert main([*WORDS, "--out", str(whole.folder), "--grid", "wd=0"]) == 2
    assert "a search of other networks, values or recipe" in " ".join(capsys.readouterr().err.split())
    more = searched(whole.folder, trials=5)
    assert more.search is not None
    assert whole.search is not None
    assert more.search.trials[:4] == whole.search.trials
    assert [len(trial.values) for trial in more.search.trials[4:]] == [1], "alone in its group: the whole training"


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        (["lr=0.3:0.1"], "a range that rises"),
        (["lr=0:0.1:log"], "from above 0"),
        (["lr=0.1:x"], "a range of numbers"),
        (["lr=0.01:0.1", "0.5"], "a range or values, not both"),
        (["schedule=cosine:step"], "no range of them can be drawn"),
        (["lr=-1:0.1"], "learning_rate"),
        (["lr=0.1"], "a range or several values"),
        (["val_fraction=0", "lr=0.1:0.2"], "without validation images"),
        (["schedule=step", "milestones=1", "lr=0.1:0.2"], "schedule='cosine'"),
    ],
)
def test_what_cannot_be_searched_is_refused(grid: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        run_sweep.sweep("digits", "cifar_resnet8", tmp_path / "a", grid=read_grid(grid), search="optuna")
    assert not (tmp_path / "a").exists()


def test_a_range_needs_a_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", "digits", "--model", "cifar_resnet8", "--grid", "lr=0.01:0.5:log", "--out", str(tmp_path / "a")]
    assert main(words) == 2
    assert "--search" in capsys.readouterr().err


def test_ranges_and_choices() -> None:
    space = space_of(["a", "b"], {"lr": ["0.01:0.5:log"], "batch_size": ["16:128:log"], "wd": ["0", "1e-4"]})
    assert space.ranges == {
        "learning_rate": Range(0.01, 0.5, log=True, whole=False),
        "batch_size": Range(16, 128, log=True, whole=True),
    }
    cell = space.cell({"model": 1, "learning_rate": 0.123456789, "batch_size": 33, "weight_decay": 1})
    assert cell.label == "b weight_decay=1e-4 learning_rate=0.123457 batch_size=33"
    ends = space.corners()
    assert {each.model for each in ends} == {"a", "b"}
    assert {each.fields["learning_rate"] for each in ends} == {0.01, 0.5}
    assert {each.fields["weight_decay"] for each in ends} == {"0", "1e-4"}


def test_a_third_goes_on_and_lengths_are_whole() -> None:
    assert kept({0: 0.5, 1: 0.9, 2: 0.9, 3: 0.1, 4: 0.2, 5: 0.3, 6: 0.4, 7: 0.8, 8: 0.0}) == [1, 2, 7]
    assert kept({4: 0.5, 2: 0.5}) == [2], "of equal values the earlier"
    recipe = Recipe(epochs=20, min_steps=100, warmup_epochs=4.5)
    third, ninth = shortened(recipe, 3), shortened(recipe, 9)
    assert (third.epochs, third.min_steps, third.warmup_epochs) == (7, 35, pytest.approx(4.5 * 7 / 20))
    assert (ninth.epochs, ninth.min_steps, ninth.max_steps) == (3, 15, 0)
    assert shortened(Recipe(epochs=0, max_steps=90), 9).max_steps == 10
    assert shortened(recipe, 1) is recipe
