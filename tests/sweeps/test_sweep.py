"""A sweep: every combination once, means over seeds, resumable by id, and what cannot be swept is refused."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from residua._base.errors import InputError
from residua._base.lock import exclusive
from residua.cli.app import main
from residua.grids.jobs import Job
from residua.grids.worker import work
from residua.sweeps import launch, run_sweep
from residua.sweeps.outcome import Sweep, mean_over, ranked
from residua.sweeps.plan import SweepPlan
from residua.sweeps.space import cells_of, read_grid
from residua.weights.open import load

FIXED = ["epochs=1", "min_steps=0", "train_images=64", "batch_size=16", "image_size=16", "kernels=eager", "workers=1"]
WORDS = ["sweep", "digits", "--model", "cifar_resnet8", "--grid", "lr=0.02,0.1", "--grid", ",".join(FIXED)]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sweep]:
    """Two rates with two seeds, trained in this process: workers of their own have their tests in tests/grids."""

    def run_jobs(jobs: Sequence[Job], **options: Any) -> dict[str, str]:
        for job in jobs:
            work(job, 1)
        return {}

    folder = tmp_path_factory.mktemp("sweeps") / "a"
    grid = read_grid(["lr=0.02", "0.1", *FIXED])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "run_jobs", run_jobs)
        return folder, run_sweep.sweep("digits", "cifar_resnet8", folder, seeds=2, grid=grid, progress=False)


def test_what_changes_in_the_recipe_is_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failed(jobs: Sequence[Job], **options: Any) -> dict[str, str]:
        return {job.name: "not tried" for job in jobs}

    monkeypatch.setattr(launch, "run_jobs", failed)
    run_sweep.sweep("digits", ["cifar_resnet8", "cifar_resnet14"], tmp_path / "a", seeds=1, grid=read_grid(FIXED))
    assert capsys.readouterr().err.count("flip=False in place of the recipe's: mirrored images of digits") == 1


def test_every_combination_is_a_run(swept: tuple[Path, Sweep]) -> None:
    folder, outcome = swept
    assert not outcome.failed
    assert not outcome.left
    assert sorted(cell.label for cell in outcome.cells) == [
        "cifar_resnet8 learning_rate=0.02",
        "cifar_resnet8 learning_rate=0.1",
    ]
    for cell in outcome.cells:
        assert [run.seed for run in cell.runs] == [0, 1]
        for run in cell.runs:
            trained = load(folder / run.id)
            assert trained.recipe is not None
            assert str(trained.recipe["learning_rate"]) == cell.fields["learning_rate"]
            assert trained.recipe["seed"] == run.seed
            assert trained.metrics["top1"] == run.top1
        values = [run.top1 for run in cell.runs]
        assert cell.top1.value == pytest.approx(statistics.fmean(values))
        assert cell.top1.deviation == pytest.approx(statistics.stdev(values))
        assert cell.top1.low <= cell.top1.value <= cell.top1.high
    assert json.loads((folder / "sweep.json").read_text()) == outcome.to_dict()
    page = (folder / "sweep.html").read_text()
    assert '<span class="word">--model</span>' in page, "no line of a narrow page ends in its hyphens"
    assert "cifar_resnet8 learning_rate=0.02" in page
    assert outcome.cells[0].runs[1].id in page
    assert "<script" not in page
    assert str(folder) not in page


def test_the_same_command_goes_on_and_seeds_join(
    swept: tuple[Path, Sweep], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, outcome = swept
    asked: list[list[str]] = []

    def run_jobs(jobs: Any, **options: Any) -> dict[str, str]:
        asked.append([job.name for job in jobs])
        return {job.name: "exit code 9" for job in jobs}

    monkeypatch.setattr(launch, "run_jobs", run_jobs)
    assert main([*WORDS, "--seeds", "2", "--out", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == outcome.to_dict()
    assert asked == [[]], "all are done"

    assert main([*WORDS, "--seeds", "3", "--out", str(folder)]) == 1
    assert len(asked[1]) == 2
    assert all(name.endswith("-seed2") for name in asked[1])
    printed = capsys.readouterr()
    assert f"{asked[1][0]} failed: exit code 9" in printed.err
    assert "cifar_resnet8 learning_rate=0.02" in printed.out, "the means of what there is"

    only = asked[1][1]
    assert main([*WORDS, "--seeds", "3", "--out", str(folder), "--only", only]) == 1
    assert asked[2] == [only]
    assert "1 run not trained yet" in capsys.readouterr().err
    assert main([*WORDS, "--seeds", "3", "--out", str(folder), "--only", "cifar_resnet8-0-seed9"]) == 2
    # The page is the module's again.
    assert main([*WORDS, "--seeds", "2", "--out", str(folder), "--json"]) == 0


def test_combinations() -> None:
    cells = cells_of(["a", "b"], {"lr": [0.1, 0.2], "epochs": [5]})
    assert [cell.label for cell in cells] == [
        "a learning_rate=0.1",
        "a learning_rate=0.2",
        "b learning_rate=0.1",
        "b learning_rate=0.2",
    ]
    assert all(cell.fields["epochs"] == 5 for cell in cells)
    assert [cell.label for cell in cells_of(["a"], {})] == ["a"]
    assert read_grid(["lr=0.1", "0.2", "wd=0"]) == {"lr": ["0.1", "0.2"], "wd": ["0"]}


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"seed": [1, 2]}, "seeds=3"),
        ({"folds": [3]}, "train_folds"),
        ({"momentun": [0.9]}, "Did you mean momentum"),
        ({"lr": [0.1, 0.1]}, "values that differ"),
        ({"lr": [0.1], "learning_rate": [0.2]}, "values that differ"),
        ({"lr": [-1, 0.1]}, "learning_rate"),
        ({"batch_size": ["auto"]}, "a number, which all runs share"),
        (read_grid(["scale=0.35", "1.0"]), r"2 numbers for each value of scale.*grid='scale=0\.5 1\.0'"),
    ],
)
def test_what_cannot_be_swept_is_refused(grid: dict[str, list[Any]], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        run_sweep.sweep("digits", "cifar_resnet8", tmp_path / "a", grid=grid)
    assert not (tmp_path / "a").exists()


def test_the_folder_of_something_else_is_refused(swept: tuple[Path, Sweep], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("")
    with pytest.raises(InputError, match=r"already holds letter\.txt"):
        run_sweep.sweep("digits", "cifar_resnet8", tmp_path, seeds=1, progress=False)
    with pytest.raises(InputError, match="resnet19"):
        run_sweep.sweep("digits", ["resnet18", "resnet19"], tmp_path / "b", progress=False)
    with pytest.raises(InputError, match="1 or more"):
        run_sweep.sweep("digits", "cifar_resnet8", tmp_path / "b", seeds=0)
    assert main(["sweep", "digits", "--model", "cifar_resnet8", "--grid", "0.1", "--out", str(tmp_path / "b")]) == 2
    for models in ([], ["cifar_resnet8", "cifar_resnet8"]):
        with pytest.raises(InputError, match=r"one network or more|each network once"):
            run_sweep.sweep("digits", models, tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_one_seed_has_the_interval_of_its_images() -> None:
    one = mean_over([0.9], 100)
    assert one.deviation is None
    assert (round(one.low, 3), round(one.high, 3)) == (0.826, 0.945)  # Wilson's, of 90 in 100
    several = mean_over([0.9, 0.92, 0.94], 100)
    assert (several.value, several.deviation) == pytest.approx((0.92, 0.02))
    assert (several.low, several.high) == pytest.approx((0.92 - 0.049683, 0.92 + 0.049683), abs=1e-5)  # t = 4.302653
    assert several.text == "92.00 ± 2.00 (87.03 to 96.97)"


def test_cells_rank_by_validation(swept: tuple[Path, Sweep]) -> None:
    cells = ranked(swept[1].cells)
    values = [cell.val_top1.value for cell in cells if cell.val_top1]
    assert values == sorted(values, reverse=True)
    assert len(values) == 2


def test_joining_cells_keep_the_jobs_and_are_judged_by_their_own_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    at_once: list[int] = []

    def run_jobs(jobs: Sequence[Job], **options: Any) -> dict[str, str]:
        at_once.append(options["at_once"])
        return {job.name: "exit code 9" for job in jobs}

    counts: list[list[int]] = []

    def outcome(plan: SweepPlan, seeds: int, failed: dict[str, str]) -> Sweep:
        counts.append([member.val_count for member in plan.members])
        return Sweep(plan.folder, "digits", seeds, (), {}, ())

    monkeypatch.setattr(launch, "run_jobs", run_jobs)
    monkeypatch.setattr(run_sweep, "_outcome", outcome)

    def swept_over(*fractions: str, jobs: int | None = None) -> None:
        grid = read_grid([f"val_fraction={fractions[0]}", *fractions[1:], "scale=0.35 1.0", *FIXED[:2]])
        run_sweep.sweep("digits", "cifar_resnet8", tmp_path / "a", seeds=1, grid=grid, jobs=jobs, progress=False)

    swept_over("0.1")
    swept_over("0", "0.1", "0.4")
    assert at_once == [1, 1]
    assert counts == [[143], [0, 143, 575]]
    assert "last bits" not in capsys.readouterr().err
    swept_over("0", "0.1", jobs=2)
    assert at_once[2] == 2
    assert "2 runs at a time, and 1 before: their last bits differ" in " ".join(capsys.readouterr().err.split())
    page = re.sub("</?span[^>]*>", "", (tmp_path / "a" / "sweep.html").read_text())
    assert "--jobs 2" in page
    assert "scale=0.35 1.0" in page


def test_a_refused_sweep_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(jobs: Sequence[Job], **options: Any) -> dict[str, str]:
        raise InputError("more processors than there are", "fewer", "Use fewer")

    monkeypatch.setattr(launch, "run_jobs", refused)
    for folder, before, more in (
        (tmp_path / "a", None, []),
        (tmp_path / "b", [], []),
        (tmp_path / "c", None, ["--search", "optuna", "--trials", "9"]),
    ):
        if before is not None:
            folder.mkdir()
        assert main([*WORDS, *more, "--out", str(folder)]) == 2
        assert (
            sorted(path.name for path in folder.iterdir() if path.name != ".lock") if folder.exists() else None
        ) == before
    assert main([*WORDS, "--out", str(tmp_path / "d"), "--only", "abc"]) == 2
    assert re.search(r"Use one of these: cifar_resnet8-\w{8}-seed0, ", capsys.readouterr().err)
    assert not (tmp_path / "d").exists()


def test_a_sweep_that_is_in_use_keeps_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    with exclusive(folder):
        (folder / "plan.json").write_text("{}")
        code = f"from residua.cli.app import main; raise SystemExit(main({[*WORDS, '--out', str(folder)]!r}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 2
        assert "in use by another process" in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "plan.json"]


def test_runs_of_cells_that_are_not_named_are_stated(
    swept: tuple[Path, Sweep], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, outcome = swept
    kept = {path: path.read_bytes() for path in (folder / "sweep.json", folder / "sweep.html")}
    try:
        fewer = run_sweep.sweep("digits", "cifar_resnet8", folder, seeds=2, grid=read_grid(["lr=0.02", *FIXED]))
        assert "2 other finished runs" in capsys.readouterr().err
        assert (fewer.others, outcome.others) == (2, 0)
        page = (folder / "sweep.html").read_text()
        assert "<h1>1 cell, 2 seeds each</h1>" in page
        assert "2 other finished runs of this folder, of cells or seeds that the last command did not name, are" in page
        assert "All cells have learning_rate=0.02, epochs=1" in page
        assert "with the whole paths of the folders" in page
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


def test_seeds_that_come_to_the_same_have_the_interval_of_the_images() -> None:
    same, one = mean_over([0.9, 0.9, 0.9], 100), mean_over([0.9], 100)
    assert (same.low, same.high) == (one.low, one.high)
    assert (same.deviation, one.deviation) == (0.0, None)
