"""Kept scores: found again, never believed when damaged, and not for another file, weight or setting."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from evaluation.runs import COLOURS, SIDE, colour_folder, colour_run
from residua._base.errors import InputError
from residua.data.dataset import Split
from residua.data.decoded import cache as decode_cache
from residua.data.image_source import ArrayImages
from residua.evaluation.evaluate import evaluate
from residua.evaluation.report.assemble import assemble
from residua.evaluation.scores import scorer
from residua.evaluation.scores.cache import CacheEntry, cache_entry, score_cache
from residua.evaluation.scores.options import ScoreOptions
from residua.evaluation.scores.scores import Scores
from residua.specs.preprocess import PreprocessSpec
from residua.weights.bundle.value import hash_tensors
from residua.weights.open import load

WRONG = [("red", "blue")]


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The views of every pass that is really made."""
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    made: list[str] = []
    real = scorer.collect

    def counting(*arguments: object, **options: object) -> Scores:
        made.append(str(options["views"]))
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(scorer, "collect", counting)
    return made


def test_a_second_evaluation_makes_no_pass(tmp_path: Path, passes: list[str]) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", WRONG, count=3)
    first, second = evaluate(run, data), evaluate(run, data, batch_size=3)
    assert passes == ["1"]
    assert (first.cached, second.cached) == (False, True)
    ours, theirs = first.to_dict(), second.to_dict()
    for name in set(ours) - {"cached", "environment"}:
        assert ours[name] == theirs[name], name
    assert evaluate(run, data, cache=False).cached is False
    assert evaluate(run, data, views="1,flip").cached is False
    assert passes == ["1", "1", "flip"], "a list asks for the sets that are not there"


def test_what_the_scores_depend_on_is_in_the_key(tmp_path: Path, passes: list[str]) -> None:
    folder, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", WRONG, count=3)
    run = load(folder)
    assert evaluate(run, data).top1 == 9 / 10
    with torch.no_grad():
        run.model.state_dict()["fc.weight"].neg_()
    assert evaluate(run, data).top1 < 0.5, "the weights as they are now"
    assert evaluate(colour_run(tmp_path / "other", tuple(reversed(COLOURS))), data).top1 == 9 / 10
    assert evaluate(folder, data, on_bad="skip").cached is False
    changed = PreprocessSpec(SIDE, SIDE, mean=(0.5, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    assert evaluate(colour_run(tmp_path / "third", preprocess=changed), data).cached is False
    assert len(passes) == 5


def test_scores_of_one_engine_are_never_read_as_those_of_another(tmp_path: Path) -> None:
    run = load(colour_run(tmp_path / "run"))
    split = Split("test", np.arange(3) % 3, ArrayImages(np.zeros((3, SIDE, SIDE, 3), np.uint8)))

    def path(engine: str, precision: str) -> Path:
        options = ScoreOptions(device="cpu", engine=engine, precision=precision)
        return cache_entry(
            run.model, run.spec, split, run.preprocess_spec, options, views="1", data_hash="0", on_bad="refuse"
        ).path

    computed = [("eager", "fp32"), ("eager", "bf16"), ("compiled", "fp32"), ("compiled", "bf16")]
    assert len({path(*each) for each in computed}) == 4
    assert path("eager", "fp32") == path("eager", "fp32")


def test_the_precision_of_a_pass_decides_its_scores(tmp_path: Path, passes: list[str]) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", WRONG, count=3)
    single = evaluate(run, data)
    half = evaluate(run, data, precision="bf16")
    assert (half.cached, half.top1) == (False, single.top1)
    assert half.loss == pytest.approx(single.loss, rel=0.05)
    assert evaluate(run, data, precision="bf16").cached
    assert passes == ["1", "1"]
    with pytest.raises(InputError, match=r"engine='eagle'.*eager"):
        evaluate(run, data, engine="eagle")


def test_an_edited_file_of_the_same_name_and_size_is_seen(tmp_path: Path, passes: list[str]) -> None:
    data = tmp_path / "data"
    for name, colour in COLOURS.items():
        (data / name).mkdir(parents=True)
        Image.new("RGB", (SIDE, SIDE), colour).save(data / name / "a.bmp")
    run = colour_run(tmp_path / "run")
    assert evaluate(run, data).top1 == 1
    file = data / "red" / "a.bmp"
    size = file.stat().st_size
    Image.new("RGB", (SIDE, SIDE), COLOURS["blue"]).save(file)
    os.utime(file, ns=(1, 10**18))
    assert file.stat().st_size == size
    assert evaluate(run, data).top1 == 2 / 3


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other", "header", "nan", "seconds", "folder"])
def test_damage_is_never_believed(tmp_path: Path, passes: list[str], damage: str) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", WRONG, count=3)
    wanted = evaluate(run, data).loss
    (file,) = score_cache().root.glob("*.safetensors")
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[-70] ^= 4
    if damage == "header":
        content[8:20] = b"[" * 12
    if damage in ("nan", "seconds"):
        # Whole and rightly hashed, and yet no scores.
        tensors = safetensors.torch.load(bytes(content))
        if damage == "nan":
            tensors["logits"][0, 0] = float("nan")
        header = {
            "sha256": hash_tensors(tensors),
            "views": "1",
            "skipped": {},
            "seconds": 0.1 if damage == "nan" else None,
        }
        content = bytearray(safetensors.torch.save(tensors, metadata={"scores": json.dumps(header)}))
    new = {"cut": bytes(content[:-9]), "empty": b"", "other": b"\x80\x04no safetensors"}.get(damage, bytes(content))
    file.write_bytes(new)
    if damage == "folder":
        file.unlink()
        file.mkdir()
    with pytest.warns(UserWarning, match=f"{file.name} is not used.*It is made again"):
        assert evaluate(run, data).loss == wanted
    assert len(passes) == 2
    assert evaluate(run, data).cached, "written again"


def test_a_cache_that_cannot_be_written_to(tmp_path: Path, passes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", count=2)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "scores").write_text("a file")
    with pytest.warns(UserWarning, match="scores cannot be used.*the network runs in every evaluation"):
        assert evaluate(run, data).top1 == 1


def test_the_least_recently_used_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = Split("test", np.zeros(50, np.int64), ArrayImages(np.zeros((50, 1, 1, 3), np.uint8)))
    scores = Scores("1", torch.zeros(50, 3), split.labels, np.arange(50), {}, 1.0)
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path))
    entries = [CacheEntry(f"{index}" * 40, 3) for index in range(3)]
    entries[0].write(scores)
    monkeypatch.setattr("residua.evaluation.scores.cache.LIMIT_BYTES", int(2.5 * entries[0].path.stat().st_size))
    os.utime(entries[0].path, ns=(10, 10))
    entries[1].write(scores)
    os.utime(entries[1].path, ns=(5, 5))
    read = entries[0].read(split)
    assert read is not None
    assert torch.equal(read.logits, scores.logits), "reading is using"
    entries[2].write(scores)
    assert [entry.path.exists() for entry in entries] == [True, False, True]


def test_fifty_thousand_images_take_two_seconds(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 50_000)
    split = Split("test", labels, ArrayImages(np.zeros((50_000, 1, 1, 3), np.uint8)))
    scores = torch.from_numpy(random.normal(size=(50_000, 10))).float()
    scores[torch.arange(50_000), torch.from_numpy(labels)] += 2
    entry = CacheEntry("0" * 40, 10)
    entry.write(Scores("1", scores, labels, np.arange(50_000), {}, 100.0))

    def seconds() -> float:
        start = time.process_time()
        found = entry.read(split)
        assert found is not None
        fitted = {"temperature": 1.5, "thresholds": {"0.9": 0.5}}
        model = {"name": "any", "parameters": 1}
        names = [str(index) for index in range(10)]
        report = assemble(
            found, model, split, PreprocessSpec(1, 1), names, device=torch.device("cpu"), fitted=fitted,
        )  # fmt: skip
        assert report.count == 50_000
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) <= 2


@pytest.mark.parametrize("views", ["1", "10crop"])
def test_without_the_cache_every_file_is_read(tmp_path: Path, views: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data")
    first = evaluate(run, data, views=views)
    read: list[str] = []
    hashed = decode_cache._hashed
    monkeypatch.setattr(
        decode_cache,
        "_hashed",
        lambda images, place, *rest: (read.append(images.where(place)), hashed(images, place, *rest))[1],
    )
    assert evaluate(run, data, views=views).count == first.count
    assert read == []
    assert evaluate(run, data, views=views, cache=False).top1 == first.top1
    assert sorted(set(read)) == sorted(str(file) for file in data.rglob("*.png"))
