"""The best runs of a sweep as an ensemble: chosen by validation, measured on test images, in a folder that predicts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from residua._base.errors import Damaged, InputError
from residua.cli.app import main
from residua.data.open import open_dataset
from residua.grids.jobs import Job
from residua.grids.worker import work
from residua.inference.predict import predict
from residua.sweeps import launch, run_sweep
from residua.sweeps.outcome import Sweep
from residua.weights.ensemble import open_ensemble
from residua.weights.open import load

GRID = {"learning_rate": [0.02, 0.1], "epochs": [1], "train_images": [64], "batch_size": [16], "image_size": [16]}
GRID |= {"kernels": ["eager"], "workers": [1]}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    def run_jobs(jobs: Sequence[Job], **options: Any) -> dict[str, str]:
        for job in jobs:
            work(job, 1)
        return {}

    folder = tmp_path_factory.mktemp("best") / "a"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "run_jobs", run_jobs)
        return run_sweep.sweep("digits", "cifar_resnet8", folder, seeds=2, grid=GRID, ensemble=3, progress=False)


def test_gain_and_cost(swept: Sweep) -> None:
    best = swept.ensemble
    assert best is not None
    runs = {run.id: run for cell in swept.cells for run in cell.runs}
    assert [runs[name].val_top1 for name in best.members] == sorted(
        (run.val_top1 for run in runs.values()), reverse=True
    )[:3]
    test = open_dataset("digits").splits["test"]
    members = [load(swept.folder / name) for name in best.members]
    pixels = [test.images.read(index) for index in range(len(test))]
    shares = []
    for member in members:
        rows = predict(member, pixels, top=10)
        shares.append(
            [[dict(zip(row.labels, row.probabilities, strict=True))[name] for name in member.classes] for row in rows]
        )
    right = np.mean(shares, axis=0).argmax(axis=1) == test.labels
    assert best.count == len(test)
    assert best.top1 == pytest.approx(right.mean(), abs=1e-12)
    assert best.gain == pytest.approx(best.top1 - max(runs[name].top1 for name in best.members), abs=1e-12)
    assert best.interval[0] <= best.gain <= best.interval[1]
    assert best.parameters == 3 * best.member_parameters == 3 * 75_290
    assert best.seconds > best.member_seconds > 0
    assert json.loads((swept.folder / "sweep.json").read_text())["ensemble"]["members"] == list(best.members)
    assert best.folder in (swept.folder / "sweep.html").read_text()

    together = predict(swept.folder / best.folder, pixels[:20], top=10)
    for row, wanted in zip(together, np.mean(shares, axis=0)[:20], strict=True):
        given = dict(zip(row.labels, row.probabilities, strict=True))
        assert [given[name] for name in members[0].classes] == pytest.approx(wanted.tolist(), abs=1e-6)


def test_the_folder_stands_alone_and_others_ask_for_a_member(
    swept: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert swept.ensemble is not None
    shutil.copytree(swept.folder / swept.ensemble.folder, tmp_path / "moved")
    assert open_ensemble(tmp_path / "moved").classes == load(swept.folder / swept.ensemble.members[0]).classes
    assert main(["embed", str(tmp_path / "moved"), str(tmp_path), "--out", str(tmp_path / "vectors.npy")]) == 2
    assert swept.ensemble.members[0] in capsys.readouterr().err
    (tmp_path / "moved" / "ensemble.json").write_text(json.dumps({"members": ["../elsewhere"]}))
    with pytest.raises(Damaged, match="no folder beside it"):
        open_ensemble(tmp_path / "moved")


def test_what_no_ensemble_can_be_made_of_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="2 or more"):
        run_sweep.sweep("digits", "cifar_resnet8", tmp_path / "a", seeds=2, grid=GRID, ensemble=5)
    with pytest.raises(InputError, match="without a validation or a test part"):
        run_sweep.sweep("digits", "cifar_resnet8", tmp_path / "a", grid=GRID | {"val_fraction": [0]}, ensemble=2)
    assert not (tmp_path / "a").exists()
