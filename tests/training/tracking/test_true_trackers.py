"""The adapters with the true packages, where those are installed; what they wrote is read back."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from residua.training.tracking.choose import choose_trackers

pytestmark = pytest.mark.filterwarnings("default")
CONFIG = {"id": "0a1b2c3d", "name": "a", "resumed": False, "recipe": {"epochs": 2}, "classes": ["x", "y"]}


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    for name in ("WANDB_MODE", "WANDB_DIR", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def _followed(name: str, folder: Path) -> None:
    """Follow a run that is stopped after its first epoch and resumed by another process, as it were."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), (200, 10, 10)).save(stream, "PNG")
    first = choose_trackers(name, folder)[name]
    first.start(CONFIG)
    first.image(0, "first_batch", stream.getvalue())
    first.log(10, {"train_loss": 2.0, "epoch": 1})
    first.finish("stopped")
    second = choose_trackers(name, folder)[name]
    second.start({**CONFIG, "resumed": True})
    second.log(20, {"train_loss": 1.5, "epoch": 2})
    second.finish("finished")


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'residua[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _followed("tensorboard", tmp_path / "runs" / "a")
    read = EventAccumulator(str(tmp_path / "runs" / "a" / "tensorboard"))
    read.Reload()
    assert [(event.step, event.value) for event in read.Scalars("train_loss")] == [(10, 2.0), (20, 1.5)]
    picture = read.Images("first_batch")[0]
    assert (picture.step, picture.width, picture.height) == (0, 8, 6)
    assert b'"epochs": 2' in read.Tensors("config")[0].tensor_proto.string_val[0]


def test_tensorboard_draws_a_run_that_is_sent_again_by_itself(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install 'residua[tensorboard]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _followed("tensorboard", tmp_path / "a")
    again = choose_trackers("tensorboard", tmp_path / "a")["tensorboard"]
    again.start({**CONFIG, "id": "ffff0000"})
    again.log(10, {"train_loss": 2.0})
    again.finish("finished")
    for folder, steps in (("tensorboard", [10, 20]), ("tensorboard/ffff0000", [10])):
        read = EventAccumulator(str(tmp_path / "a" / folder))
        read.Reload()
        assert [event.step for event in read.Scalars("train_loss")] == steps


def test_mlflow(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'residua[mlflow]'")
    _followed("mlflow", tmp_path / "runs" / "a")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/runs/mlflow.db")
    experiment = client.get_experiment_by_name("residua")
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 1, "the resumed run is the same"
    assert runs[0].info.status == "FINISHED"
    assert runs[0].data.params["recipe.epochs"] == "2"
    metrics = client.get_metric_history(runs[0].info.run_id, "train_loss")
    assert [(each.step, each.value) for each in metrics] == [(10, 2.0), (20, 1.5)]
    assert any((tmp_path / "runs" / "mlruns").rglob("first_batch*.png"))


def test_trackio(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trackio = pytest.importorskip("trackio", reason="trackio is not installed: pip install 'residua[trackio]'")
    _followed("trackio", tmp_path / "runs" / "a")
    assert capfd.readouterr().out == "", "stdout is the command's own"
    runs = list(trackio.Api().runs("residua"))
    assert [run.name for run in runs] == ["a-0a1b2c3d"]
    from trackio.sqlite_storage import SQLiteStorage

    lines = SQLiteStorage.get_logs("residua", "a-0a1b2c3d")
    logged = {line["step"]: line["train_loss"] for line in lines if "train_loss" in line}
    assert logged == {10: 2.0, 20: 1.5}


def test_trackio_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio", reason="trackio is not installed: pip install 'residua[trackio]'")
    code = (
        "from pathlib import Path; from residua.training.tracking.choose import choose_trackers;"
        f"tracker = choose_trackers('trackio', Path('a'))['trackio']; tracker.start({CONFIG!r});"
        "tracker.log(10, {'train_loss': 2.0}); tracker.finish('finished')"
    )
    (tmp_path / "file").write_text("")
    words = [sys.executable, "-c", code]
    done = subprocess.run(
        words, env={**os.environ, "TRACKIO_DIR": str(tmp_path / "file")}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "RuntimeError: trackio" in done.stderr


def test_wandb_offline(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'residua[wandb]'")
    _followed("wandb", tmp_path / "runs" / "a")
    written = sorted(path.name for path in (tmp_path / "runs" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert set(written) == {"run-0a1b2c3d.wandb"}
    content = b"".join(path.read_bytes() for path in (tmp_path / "runs" / "wandb").glob("offline-run-*/*.wandb"))
    assert b"train_loss" in content
    assert b"residua" in content
    assert any((tmp_path / "runs" / "wandb").glob("offline-run-*/files/media/images/first_batch*.png"))
