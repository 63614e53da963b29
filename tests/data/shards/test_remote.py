"""Packed data behind an address: servers with and without ranges, that fail, lie or lack a shard; fsspec."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from residua._base.errors import InputError
from residua.cli.app import main
from residua.data.loader import Loader
from residua.data.open import open_dataset, reopen
from residua.data.shards import fetched
from residua.data.shards import pack as packing
from residua.evaluation.run_data import recorded_data
from residua.specs.preprocess import default_preprocess
from residua.training import finish
from residua.weights.open import load
from servers import Behaviour, serving


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Digits in eight training shards and two test shards, by path on a server."""
    out = tmp_path_factory.mktemp("packed") / "shards"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_plans", lambda split, size, real=packing._plans: real(split, 37_500))
        packing.pack(open_dataset("digits", val_fraction=0), out)
    return {f"/data/{path.name}": path.read_bytes() for path in out.iterdir()}


@pytest.fixture(autouse=True)
def _network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RESIDUA_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    with serving(files=dict(files)) as behaviour:
        yield behaviour


def loader(url: str, **options: Any) -> Loader:
    split = open_dataset(url, val_fraction=0).splits["train"]
    settings = {"batch_size": 479, "num_classes": 10, "train": True, "workers": 2, **options}
    return Loader(split, default_preprocess(32), **settings)


def pixels(url: str, part: str = "train") -> list[bytes]:
    split = open_dataset(url, val_fraction=0).splits[part]
    return [split[index][0].tobytes() for index in range(0, len(split), 97)]


@pytest.fixture(scope="module")
def expected() -> set[bytes]:
    images = open_dataset("digits", val_fraction=0).splits["train"].images.pixels
    assert images is not None
    return {image.tobytes() for image in images}


@pytest.mark.parametrize("ranges", [True, False], ids=["ranges", "no ranges"])
def test_a_transfer_that_breaks_off_goes_on(server: Behaviour, expected: set[bytes], ranges: bool) -> None:
    server.honours_ranges = ranges
    dataset = open_dataset(f"{server.address}/data/", val_fraction=0)
    opened = len(server.asked)
    assert not any(".tar" in request.path for request in server.asked), "the index alone opens the data"
    server.breaks = [20_000]
    train = dataset.splits["train"]
    assert train[0][0].tobytes() in expected
    assert server.ranges[opened:] == [None, "bytes=20000-"]
    assert {train[index][0].tobytes() for index in range(0, len(train), 97)} <= expected
    asked = len(server.asked)
    assert set(pixels(f"{server.address}/data")) <= expected
    assert not any(".tar" in request.path for request in server.asked[asked:]), "kept on this machine"
    again = pickle.loads(pickle.dumps(train.images))
    assert again.encoded(500) == train.images.encoded(500)
    assert reopen(dataset.describe(full=True)).hash == dataset.hash


def test_a_server_that_fails_twice_is_asked_again(server: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("residua._base.web.http.time.sleep", pauses.append)
    server.statuses = [503, 500]
    train = open_dataset(f"{server.address}/data", val_fraction=0).splits["train"]
    server.statuses = [502, 429]
    assert train[0][0].shape == (8, 8, 3)
    assert len(pauses) == 4
    assert 0.25 <= pauses[0] <= 0.375
    assert 0.5 <= pauses[1] <= 0.75, "twice as long, with jitter"
    server.statuses = [500] * 9
    with pytest.raises(InputError, match=r"index\.json could not be read"):
        open_dataset(f"{server.address}/data")


def damaged(server: Behaviour, fault: str) -> str:
    """Damage one training shard; return what a message states of it."""
    path, words = "/data/train-000003.tar", "404"
    if fault == "missing":
        del server.files[path]
    elif fault == "truncated":
        server.files[path], words = server.files[path][:-1000], "could not be downloaded|bytes"
    else:
        content = server.files[path]
        server.files[path], words = content[:5000] + b"x" + content[5001:], "SHA-256"
    return rf"train-000003\.tar.*({words})"


@pytest.mark.parametrize("fault", ["missing", "truncated", "other hash"])
def test_a_bad_shard_is_named_or_skipped(
    server: Behaviour, fault: str, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("residua._base.web.http.time.sleep", lambda _: None)
    words, url = damaged(server, fault), f"{server.address}/data"
    with pytest.raises(InputError, match=words) as error:
        loader(url)
    assert "cannot be fetched: http://" in error.value.given
    assert error.value.remedy.startswith("Check the address, and repeat the command")
    count = {shard["url"]: shard["nsamples"] for shard in json.loads(files["/data/index.json"])["shardlist"]}[
        "train-000003.tar"
    ]
    asked = len(server.asked)
    skipping = loader(url, on_bad="skip")
    assert len(skipping.skipped) == count
    assert sum("train-000003" in request.path for request in server.asked[asked:]) <= 4, "not once per image"
    windowed = loader(url, on_bad="skip", window=500, batch_size=719)
    visited = np.concatenate([batch.indices.numpy() for batch in windowed.epoch(0)])
    assert len(visited) == 1438 - count
    assert len(windowed.skipped) == count
    with pytest.raises(InputError, match=words):
        list(loader(url, window=500, batch_size=719).epoch(0))
    server.files.update(files)
    assert not loader(url).skipped, "what could not be fetched once is not kept as bad"
    assert main(["check", url, "--json"]) in (0, 1)


def test_shards_that_were_used_longest_ago_make_room(server: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(server.files["/data/train-000000.tar"])
    monkeypatch.setattr(fetched, "LIMIT_BYTES", 3 * size)
    windowed = loader(f"{server.address}/data", window=100)
    batches = [batch.indices.numpy() for batch in windowed.epoch(0)]
    assert len(np.unique(np.concatenate(batches))) == 3 * 479
    held = list(fetched.FETCHED_FOLDER.root.glob("*/*.tar"))
    assert sum(path.stat().st_size for path in held) <= 4 * size


def test_train_evaluate_and_check_take_an_address(
    server: Behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, out = f"{server.address}/data", str(tmp_path / "run")
    small = ["--model", "cifar_resnet8", "--epochs", "1", "--image-size", "16", "--kernels", "eager", "--device", "cpu"]
    small += ["--train-images", "300"]
    with monkeypatch.context() as patch:
        lost = InputError(f"{url}/test-000000.tar, which is gone", "it", "Put it there")
        patch.setattr(finish, "evaluate_model", lambda *_, **__: (_ for _ in ()).throw(lost))
        assert main(["train", url, "--out", out, "--shuffle-window", "400", *small]) == 2
    assert (
        f"test-000000.tar, which is gone, for the report of a training that is done and saved. Wanted: it. Put it "
        f"there. Then make the report: residua train {url} --out {out} --resume" in capsys.readouterr().err
    )
    assert main(["train", url, "--out", out, "--resume"]) == 0
    assert re.search(r"Resumed after step (\d+) of \1\n", capsys.readouterr().err)
    recipe = (tmp_path / "run" / "recipe.toml").read_text()
    assert "shuffle_window = 400" in recipe
    assert "shuffles within windows of 400" in (tmp_path / "run" / "report.json").read_text()
    assert main(["train", url, "--out", out, "--resume"]) == 0
    assert main(["evaluate", out, url]) == 0
    assert reopen(recorded_data(load(tmp_path / "run"))).given == url
    capsys.readouterr()
    assert main(["check", url, "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["images"] == 1797


def test_without_the_network_what_was_fetched_serves(server: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{server.address}/data"
    open_dataset(url, val_fraction=0).splits["train"][0]
    index = server.files.pop("/data/index.json")
    with pytest.raises(InputError, match="or set RESIDUA_OFFLINE=1 to use what was fetched before"):
        open_dataset(url)
    server.files["/data/index.json"] = index
    monkeypatch.setenv("RESIDUA_OFFLINE", "1")
    asked = len(server.asked)
    train = open_dataset(url, val_fraction=0).splits["train"]
    assert train[0][0].shape == (8, 8, 3)
    with pytest.raises(InputError, match=r"train-000007\.tar.*forbids the network"):
        train[1437]
    assert len(server.asked) == asked
    with pytest.raises(InputError, match=r"index\.json is not in the cache"):
        open_dataset(f"{server.address}/other")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://someone:hunter2@127.0.0.1:9/data", "with a user"),
        ("http://127.0.0.1:9/data?signature=hunter2", "with a user"),
        ("nosuchscheme://bucket/data", "fsspec cannot open"),
        ("memory://nothing/here", r"index\.json could not be read"),
    ],
)
def test_addresses_that_cannot_be_used(url: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        open_dataset(url)
    assert "hunter2" not in str(error.value)


def test_a_folder_without_the_index_of_pack_is_refused(server: Behaviour) -> None:
    document = json.loads(server.files["/data/index.json"])
    server.files["/data/index.json"] = json.dumps(document | {"parts": []}).encode()
    with pytest.raises(InputError, match="states no labels and places"):
        open_dataset(f"{server.address}/data")
    server.files["/data/index.json"] = b"<html>"
    with pytest.raises(InputError, match="no JSON"):
        open_dataset(f"{server.address}/data")


def test_other_file_systems_are_those_of_fsspec(
    files: dict[str, bytes], expected: set[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec

    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    memory = fsspec.filesystem("memory")
    for path, content in files.items():
        memory.pipe(f"/bucket{path}", content)
    try:
        assert set(pixels("memory://bucket/data")) <= expected
        memory.pipe("/bucket/data/test-000000.tar", b"short")
        test = open_dataset("memory://bucket/data").splits["test"]
        with pytest.raises(InputError, match=r"test-000000\.tar of 5 bytes"):
            test[0]
    finally:
        memory.rm("/bucket", recursive=True)
