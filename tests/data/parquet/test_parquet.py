"""Parquet files of images: packed, and as Hugging Face's `datasets` and others write them."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.shards.test_shards import photos, picture, pixels  # noqa: F401 - a fixture
from residua._base.errors import InputError
from residua.cli.app import main
from residua.data.loader import Loader
from residua.data.open import open_dataset, reopen
from residua.data.parquet import row_groups as groups
from residua.data.shards import pack as packing
from residua.data.shards.pack import check_shards, pack
from residua.specs.preprocess import default_preprocess
from servers import serving

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402

NAMES = {"info": {"features": {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["ant", "bee"]}}}}


def write(path: Path, shades: Sequence[int], labels: Sequence[Any], names: bool = True, **options: Any) -> Path:
    """Write a file as `datasets` does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = options.pop("image", "image")
    images = pyarrow.array(
        [{"bytes": picture(shade) if shade >= 0 else None, "path": f"{shade}.png"} for shade in shades],
        pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]),
    )
    table = pyarrow.table({image: images, "label": labels, "note": ["x"] * len(labels)})
    if names:
        table = table.replace_schema_metadata({"huggingface": json.dumps(NAMES)})
    parquet.write_table(table, path, row_group_size=2, **options)
    return path


def test_the_layout_of_hugging_face_is_read_as_it_is(tmp_path: Path) -> None:
    write(tmp_path / "data" / "train-00000-of-00002.parquet", [10, 20, 30], [1, 0, 1], compression="snappy")
    write(tmp_path / "data" / "train-00001-of-00002.parquet", [40], [0], compression="zstd")
    write(tmp_path / "data" / "validation-00000-of-00001.parquet", [50], [1])
    write(tmp_path / "data" / "test-00000-of-00001.parquet", [60, 70], [-1, -1])
    (tmp_path / "README.md").write_text("a card")
    dataset = open_dataset(tmp_path)
    assert dataset.classes == ("ant", "bee")
    assert pixels(dataset, "train") == [("bee", 10), ("ant", 20), ("bee", 30), ("ant", 40)]
    assert pixels(dataset, "val") == [("bee", 50)]
    assert set(dataset.splits) == {"train", "val"}
    assert "test has no labels and was left out" in dataset.notes
    assert dataset.image_name(dataset.splits["train"], 3) == "data/train-00001-of-00002.parquet/image 1"
    assert reopen(dataset.describe(full=True)).hash == dataset.hash
    images = pickle.loads(pickle.dumps(dataset.splits["train"].images))
    assert images.encoded(2) == picture(30)
    assert images.subset(np.array([3, 0])).encoded(1) == picture(10)


@pytest.mark.parametrize(
    ("labels", "classes"), [([5, 3, 5, 3], ("3", "5")), (["b", "a", "b", "a"], ("a", "b"))], ids=["numbers", "names"]
)
def test_one_file_without_names(tmp_path: Path, labels: list[Any], classes: tuple[str, str]) -> None:
    path = write(tmp_path / "photos.parquet", [1, 2, 3, 4], labels, names=False, image="img")
    dataset = open_dataset(path, val_fraction=0)
    assert dataset.classes == classes
    assert pixels(dataset, "train") == [(str(label), shade) for label, shade in zip(labels, (1, 2, 3, 4), strict=True)]


def test_a_packed_data_set_is_the_same_data(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packing, "_plans", lambda split, size, real=packing._plans: real(split, 300))
    before, out = open_dataset(photos, val_fraction=0), tmp_path / "shards"
    index = pack(before, out, form="parquet")
    assert index.shards[0].url == f"train-00000-of-{sum(each.part == 'train' for each in index.shards):05d}.parquet"
    after = open_dataset(out, val_fraction=0)
    assert after.classes == before.classes
    for part in ("train", "test"):
        assert sorted(pixels(after, part)) == sorted(pixels(before, part))
    assert pack(before, tmp_path / "again", form="parquet", workers=1).shards == index.shards
    features = json.loads(parquet.read_schema(out / index.shards[0].url).metadata[b"huggingface"])["info"]["features"]
    assert features == NAMES["info"]["features"]
    assert check_shards(out) == []
    with (out / index.shards[1].url).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(InputError, match=r"train-00001.*is another file"):
        open_dataset(out)


def test_row_groups_are_taken_in_turn_where_memory_is_too_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packing.pack(open_dataset("digits", val_fraction=0), tmp_path / "shards", form="parquet")
    split = open_dataset(tmp_path / "shards", val_fraction=0).splits["train"]
    assert not split.images.large
    monkeypatch.setattr(groups, "BUDGET_BYTES", 100_000)
    read: list[int] = []
    real = groups.RowGroups._read
    monkeypatch.setattr(groups.RowGroups, "_read", lambda self, group: (read.append(group), real(self, group))[1])
    split = open_dataset(tmp_path / "shards", val_fraction=0).splits["train"]
    assert split.images.large
    window = split.images.window
    assert 50 < window < 400
    loader = Loader(split, default_preprocess(32), batch_size=719, num_classes=10, train=True, workers=2, window=window)
    visited = np.concatenate([batch.indices.numpy() for batch in loader.epoch(0)])
    assert sorted(visited.tolist()) == list(range(1438))
    assert len(read) < 60, "some groups are shared by windows; none is read for each image"
    assert split.images.shard_counts is not None
    assert split.images.shard_counts.tolist() == [100] * 14 + [38]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-300]), "is no whole parquet file"),
        (lambda path: write(path, [1, 2], [None, 0]), "1 train image without a label"),
        (lambda path: write(path, [1, 2], [7, 0]), "labels 0 to 7 for 2 classes"),
        (lambda path: parquet.write_table(pyarrow.table({"a": [1]}), path), "with the columns a"),
    ],
)
def test_damaged_files_are_refused_or_skipped(tmp_path: Path, damage: Any, words: str) -> None:
    write(tmp_path / "train-0.parquet", [1, 2, 3], [0, 1, 0])
    damage(write(tmp_path / "train-1.parquet", [4, 5], [0, 1]))
    with pytest.raises(InputError, match=words):
        open_dataset(tmp_path)
    if "labels 0" not in words:
        skipped = open_dataset(tmp_path, on_bad="skip", val_fraction=0)
        assert any(note.startswith("skipped: ") for note in skipped.notes)
        assert len(skipped.splits["train"]) in (3, 4)


def test_an_image_without_bytes_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [1, -1, 3, 4], [0, 1, 0, 1])
    split = open_dataset(tmp_path, val_fraction=0).splits["train"]
    with pytest.raises(InputError, match="image 2: the file names it and does not hold its bytes"):
        split[1]


def test_the_command_and_the_missing_package(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "shards"
    assert main(["pack", str(photos), "--out", str(out), "--format", "parquet"]) == 0
    assert "train: 15 images in 1 shard" in capsys.readouterr().out
    assert main(["check", str(out), "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["images"] == 19
    assert main(["pack", str(photos), "--out", str(tmp_path / "other"), "--format", "zip"]) == 2
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r"residua\[shards\]"):
        open_dataset(out)
    assert main(["pack", str(photos), "--out", str(tmp_path / "third"), "--format", "parquet"]) == 2
    assert not (tmp_path / "third").exists()


def test_a_packed_folder_behind_an_address(
    photos: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RESIDUA_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("residua._base.web.http.time.sleep", lambda _: None)
    out = tmp_path / "shards"
    pack(open_dataset(photos, val_fraction=0), out, form="parquet")
    here = open_dataset(out, val_fraction=0)
    with serving(files={f"/data/{path.name}": path.read_bytes() for path in out.iterdir()}) as server:
        url = f"{server.address}/data"
        dataset = open_dataset(f"{url}/", val_fraction=0)
        assert (dataset.hash, dataset.classes, dataset.given, dataset.location) == (here.hash, here.classes, url, url)
        assert pixels(dataset, "train") == pixels(here, "train")
        train = dataset.splits["train"]
        assert train.where(0) == f"{url}/train-00000-of-00001.parquet/image 1"
        asked = sum(".parquet" in request.path for request in server.asked)
        assert asked == 2, "each file once"
        assert reopen(dataset.describe(full=True)).splits["train"].images.key() == train.images.key()
        assert sum(".parquet" in request.path for request in server.asked) == asked, "kept on this machine"
        with pytest.raises(InputError, match="one file, whose hash no index states"):
            open_dataset(f"{url}/train-00000-of-00001.parquet")
        with monkeypatch.context() as patch:
            patch.setattr("residua.data.parquet.remote.LIMIT_BYTES", 10)
            with pytest.raises(InputError, match="tar files are fetched as they are needed"):
                open_dataset(url)
        monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "other"))
        server.files["/data/test-00000-of-00001.parquet"] = b"short"
        with pytest.raises(InputError, match=r"test-00000-of-00001\.parquet cannot be used"):
            open_dataset(url)
        assert set(open_dataset(url, on_bad="skip", val_fraction=0).splits) == {"train"}
