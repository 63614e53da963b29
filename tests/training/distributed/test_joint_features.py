"""What a run may have besides: two processes, whole and divided, train what one trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from training.distributed import processes
from training.distributed.test_joint_training import lines
from two_digits import two_digits

NARROW = ",".join(["(8,8,8,8,8,8)"] * 9)
PLAIN = {"epochs": 1, "ema_decay": 0.0, "mixup": 0.0, "measure_train": 0, "sync_norm": True}
LABELS: dict[str, Any] = {
    **PLAIN,
    "model": "googlenet_bn",
    "set": [f"widths=({NARROW})", "dropout=0", "aux_dropout=0"],
    "image_size": 32,
    "optimizer": "sgd",
    "train_images": 0,
    "batch_size": 21,
    "keep_by": "macro_f1",
}
TEACHER: dict[str, Any] = {
    **PLAIN,
    "distill_temperature": 2.0,
    "optimizer": "muon",
    "begin_size": 16,
    "image_size": 32,
    "crop": "random_resized",
    "train_images": 66,
    "batch_size": 33,
    "epochs": 2,
}


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory, one: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The histories of the runs, by "one" and "two" processes."""
    folder = tmp_path_factory.mktemp("features")
    two_digits(folder, train=70, test=20)
    labels = LABELS | {"data": str(folder / "PHOTOS"), "labels": str(folder / "labels.csv")}
    runs = {"labels": labels, "teacher": TEACHER | {"teacher": str(one)}}
    forms = {
        "one": processes.start_several(folder / "one", 1, runs),
        "two": processes.start_several(folder / "two", 2, runs | {"sharded": labels | {"shard": True}}),
    }
    for name, started in forms.items():
        exits = processes.codes(started, 2 * processes.LIMIT_SECONDS)
        assert exits == [0] * len(started), "".join(processes.output(folder / name, rank) for rank in range(len(exits)))
    return {name: {run.name: lines(run) for run in (folder / name).iterdir()} for name in forms}


@pytest.mark.parametrize(
    ("name", "form", "close"),
    [
        ("labels", "labels", 2e-4),
        ("labels", "sharded", 2e-4),
        # Muon rounds to bfloat16, where the last bits of a sum tell.
        ("teacher", "teacher", 1e-3),
    ],
    ids=["several labels and auxiliary classifiers", "the same, divided", "a teacher, Muon and growing images"],
)
def test_two_processes_train_what_one_trains(
    name: str, form: str, close: float, curves: dict[str, dict[str, list[dict[str, Any]]]]
) -> None:
    for single, joint in zip(curves["one"][name], curves["two"][form], strict=True):
        for key in ("train_loss", "val_loss"):
            assert joint[key] == pytest.approx(single[key], rel=close), key
        assert joint["step"] == single["step"]
