"""The order by shards and windows: every image once, the same anywhere, resumed anywhere, in little memory."""

from __future__ import annotations

import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from residua._base.errors import InputError
from residua.data.loader import Loader
from residua.data.open import open_dataset
from residua.data.shards import index as indexing
from residua.data.shards import pack as packing
from residua.data.shards.window import Pieces, WindowOrder
from residua.specs.preprocess import default_preprocess

SIDE = 32


def test_an_epoch_visits_every_image_once_and_shards_in_turn() -> None:
    counts = np.array([5, 0, 9, 1, 7, 4])
    orders = WindowOrder(counts, seed=3, window=8)
    epochs = [orders.epoch(epoch).span(0, 26) for epoch in range(3)]
    for visited in epochs:
        assert sorted(visited.tolist()) == list(range(26))
    assert not np.array_equal(epochs[0], epochs[1])
    assert np.array_equal(epochs[1], WindowOrder(counts, 3, 8).epoch(1).span(0, 26)), "a function of (seed, epoch)"
    assert not np.array_equal(epochs[0], WindowOrder(counts, 4, 8).epoch(0).span(0, 26))
    visits = orders.epoch(0)
    assert visits.windows == 4
    shard_of = np.repeat(np.arange(6), counts)
    for window in range(4):
        inside = visits.span(8 * window, 8 * window + 8)
        assert set(shard_of[inside]) == set(visits.shards(window).tolist())
    assert not len(visits.shards(4))
    # Shards in turn: those that a window begins with and ends with are all that it shares with its neighbours.
    firsts = [set(visits.shards(window).tolist()) for window in range(4)]
    assert all(len(one & two) <= 1 for one, two in itertools.pairwise(firsts))


def test_an_epoch_goes_on_anywhere() -> None:
    orders = WindowOrder(np.array([11, 30, 2, 57]), seed=0, window=16)
    whole = [piece.tolist() for piece in Pieces(orders.epoch(5), 7, 0, 14)]
    assert [len(piece) for piece in whole] == [7] * 14
    for first in (0, 1, 6, 13, 14):
        assert [piece.tolist() for piece in Pieces(orders.epoch(5), 7, first, 14)] == whole[first:]
    asked: list[list[int]] = []
    list(Pieces(orders.epoch(5), 7, 0, 14, lambda shards: asked.append(shards.tolist())))
    assert len(asked) == 7, "once per window"
    with pytest.raises(InputError, match="shuffle_window"):
        WindowOrder(np.array([1]), 0, 0)


def test_a_hundred_million_images_take_the_memory_of_a_window() -> None:
    tracemalloc.start()
    orders = WindowOrder(np.full(10_000, 10_000), seed=0, window=16_384)
    pieces = Pieces(orders.epoch(3), 256, 200_000, 390_625)
    first, last = pieces[0], pieces[-1]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(first) == len(last) == 256
    assert max(first.max(), last.max()) < 100_000_000
    assert most < 8e6


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight shards of digits, 200 images each, beside test shards."""
    out = tmp_path_factory.mktemp("packed") / "shards"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_plans", lambda split, size, real=packing._plans: real(split, 37_500))
        packing.pack(open_dataset("digits", val_fraction=0), out)
    return out


def loader(folder: Path, window: int, **options: object) -> Loader:
    split = open_dataset(folder, val_fraction=0).splits["train"]
    settings: dict[str, object] = {"batch_size": 64, "num_classes": 10, "train": True, "window": window, **options}
    return Loader(split, default_preprocess(SIDE), **settings)  # type: ignore[arg-type]


def test_a_large_data_set_is_opened_by_its_index(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = open_dataset(packed, val_fraction=0)
    monkeypatch.setattr(indexing, "LARGE_IMAGES", 1000)
    monkeypatch.setattr("residua.data.shards.open_packed.LARGE_IMAGES", 1000)
    monkeypatch.setattr("residua.data.shards.open.read_members", None)  # No tar header is read.
    large = open_dataset(packed, val_fraction=0)
    assert large.classes == small.classes
    for part in ("train", "test"):
        one, other = small.splits[part], large.splits[part]
        assert other.images.large
        assert one.labels.tolist() == other.labels.tolist()
        for index in (0, 57, len(one) - 1):
            assert one.images.encoded(index) == other.images.encoded(index)
    assert large.splits["train"].labels.dtype == np.uint8, "mapped as they stand in the file"
    assert large.describe()["class_counts"] == small.describe()["class_counts"]
    assert large.splits["train"].where(0).endswith("train-000000.tar/image 1")
    chosen = large.splits["train"].subset(np.array([3, 250, 999]))
    assert chosen.images.shard_counts is not None
    assert chosen.images.shard_counts.sum() == 3
    assert large.splits["train"].subset(np.array([9, 3])).images.shard_counts is None


def test_training_batches_are_the_same_wherever_the_cursor_stands(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "LARGE_IMAGES", 1000)
    monkeypatch.setattr("residua.data.shards.open_packed.LARGE_IMAGES", 1000)
    whole = [(batch.indices.tolist(), batch.labels.tolist()) for batch in loader(packed, 300, workers=1).epoch(2)]
    again = [(batch.indices.tolist(), batch.labels.tolist()) for batch in loader(packed, 300, workers=3).epoch(2, 9)]
    assert again == whole[9:]
    assert sum(len(indices) for indices, _ in whole) == len(whole) * 64
    labels = open_dataset(packed, val_fraction=0).splits["train"].labels
    assert all(labels[indices].tolist() == stated for indices, stated in whole)
    with pytest.raises(InputError, match="balance='sampler'"):
        loader(packed, 300, balanced=True)


def test_a_bad_image_on_the_way_is_named_or_left_out(packed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    for file in packed.glob("*.tar"):  # without the index, which states their hashes
        (folder / file.name).write_bytes(file.read_bytes())
    split = open_dataset(folder, val_fraction=0).splits["train"]
    place = split.images._offsets[5]
    with (folder / "train-000000.tar").open("r+b") as stream:
        stream.seek(int(place))
        stream.write(b"no image")
    with pytest.raises(InputError, match=r"train-000000\.tar/"):
        list(loader(folder, 300, batch_size=719).epoch(0))
    skipping = loader(folder, 300, batch_size=719, on_bad="skip")
    visited = np.concatenate([batch.indices.numpy() for batch in skipping.epoch(0)])
    assert list(skipping.skipped) == [5]
    assert 5 not in visited
    assert len(visited) == 2 * 719 - 1


def test_other_data_have_no_such_order() -> None:
    split = open_dataset("digits", val_fraction=0).splits["train"]
    with pytest.raises(InputError, match="in no shards"):
        Loader(split, default_preprocess(SIDE), batch_size=64, num_classes=10, train=True, window=64)
