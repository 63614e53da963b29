"""Answers from a Ray cluster of this machine: two actors give the rows of one process, and go on after a stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from evaluation.runs import COLOURS, colour_run, paint
from residua._base.errors import InputError
from residua.inference.answers import on_ray, partial
from residua.inference.answers.predict_to import predict_to
from residua.inference.image_files import ImageFile
from residua.inference.predict import answered_batches
from residua.inference.stream import Predictor
from residua.weights.open import load

ray = pytest.importorskip("ray", reason="Ray, of the extra ray, is not installed")
pytest.importorskip("ray.data", reason="Ray Data, of the extra ray, is not installed")
from ray.data import DataContext  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_two_actors_give_the_rows_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = colour_run(tmp_path / "run")
    files = [paint(tmp_path / f"{index:02}.png", COLOURS[name]) for index, name in enumerate(list(COLOURS) * 7)]
    files.insert(5, tmp_path / "nowhere.png")
    (tmp_path / "bad.png").write_bytes(b"no image")
    files.insert(9, tmp_path / "bad.png")
    alone = predict_to(run, files, tmp_path / "alone.jsonl", batch_size=4, device="cpu")
    monkeypatch.setattr(partial, "_EVERY_SECONDS", 0.0)
    out = tmp_path / "many.jsonl"

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done >= 8:
            raise Stop

    context = DataContext.get_current()
    settings = context.execution_options.preserve_order, context.enable_progress_bars
    options = {"batch_size": 4, "engine": "ray", "actors": 2}
    # The part before the stop is computed here, under the job of the cluster: a pool takes long to start.
    predictor = Predictor.open(load(run), device="cpu")
    with monkeypatch.context() as patch:
        patch.setattr(on_ray.Pool, "answers", lambda self, files: answered_batches(predictor, files, 3, 4, 1))
        with pytest.raises(Stop):
            predict_to(run, files, out, progress=stop, **options)
    many = predict_to(run, files, out, **options)
    assert (many.files, many.bad, many.resumed, many.engine) == (23, 2, 8, "eager")
    rows, wanted = ([json.loads(line) for line in each.path.read_text().splitlines()] for each in (many, alone))
    for row, other in zip(rows, wanted, strict=True):
        assert row["probabilities"] == pytest.approx(other["probabilities"], rel=1e-5)
        assert {**row, "probability": 0, "probabilities": 0} == {**other, "probability": 0, "probabilities": 0}
    with pytest.raises(InputError, match="at most one actor per processor"):
        predict_to(run, files, tmp_path / "c.jsonl", **{**options, "actors": 3})
    with pytest.raises(InputError, match="'cpu' or 'cuda'"):
        predict_to(run, files, tmp_path / "c.jsonl", device="cuda:1", **options)
    context = DataContext.get_current()
    assert (context.execution_options.preserve_order, context.enable_progress_bars) == settings
    assert ray.is_initialized()


def test_what_an_actor_refuses_arrives_as_it_was(tmp_path: Path) -> None:
    run = load(colour_run(tmp_path / "run"))
    with torch.no_grad():
        next(run.model.parameters()).mul_(2)  # no longer the weights of the folder, which the actors load
    pool = on_ray.pool_of(run, "eager", "fp32", "cpu", 1, 4, 1)
    actor = on_ray._Actor(pool, torch.get_num_threads())
    batch = on_ray._packed([ImageFile(tmp_path / "a.png", tmp_path)])
    (answer,) = actor({"number": [0], "batch": [batch]})["batch"]
    with pytest.raises(InputError, match="weights are others on this machine") as caught:
        on_ray._rows(answer)
    assert caught.value.remedy == "Copy it there"


def test_the_device_follows_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}}, {"Alive": True, "Resources": {"CPU": 8.0}}]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    # By default every machine has an actor, and one of them has no GPU.
    assert [on_ray._device(actors) for actors in (0, 1, 2, 3)] == ["cpu", "cuda", "cuda", "cpu"]
    nodes.pop()
    assert on_ray._device(0) == "cuda"


def test_a_cluster_that_was_started_here_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: calls.append("init"))
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append("shutdown"))
    with pytest.raises(KeyError), on_ray.cluster():
        raise KeyError
    assert calls == ["init", "shutdown"]
