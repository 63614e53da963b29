"""Batches: exact counts, pure functions of (seed, epoch), the same whichever way the pixels come."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.pictures import MakeFolder, picture
from residua._base import cache as caching
from residua._base.errors import InputError
from residua.data import image_source
from residua.data.dataset import Split
from residua.data.decode import BadImage, decode, decode_bytes
from residua.data.decode.workers import default_workers
from residua.data.decoded import cache
from residua.data.image_source import ArrayImages
from residua.data.loader import Batch, Loader
from residua.data.open import open_dataset
from residua.data.preprocess.normalise import normalise
from residua.data.preprocess.resize import apply_uint8
from residua.data.random import order
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import PreprocessSpec

SPEC = PreprocessSpec(16, 18)
FULL = AugmentSpec(crop="pad", pad=2, flip=True, cutout=4)
CROPS = AugmentSpec(crop="random_resized", flip=True)


@pytest.fixture
def folder(make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(caching, "_warned", set())
    path = make_folder("photos", {"a": 14, "b": 9}, size=(24, 32))
    make_folder("photos", {"a": 6}, size=(40, 30), suffix=".png")
    return path


@pytest.fixture
def split(folder: Path) -> Split:
    return open_dataset(folder, val_fraction=0).splits["train"]


def loader(split: Split, **changes: Any) -> Loader:
    return Loader(split, SPEC, **{"batch_size": 8, "num_classes": 2, "train": True, "workers": 2, **changes})


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) and torch.equal(a.indices, b.indices)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("batch_size", [1, 4, 8, 29, 100])
def test_evaluation_visits_every_image_once(split: Split, batch_size: int) -> None:
    evaluation = loader(split, train=False, batch_size=batch_size)
    batches = list(evaluation.epoch(0))
    assert torch.cat([batch.indices for batch in batches]).tolist() == list(range(29))
    assert len(batches) == evaluation.steps_per_epoch == -(-29 // batch_size)
    expected = np.stack([apply_uint8(decode(file), SPEC) for file in split.images.files])
    images = normalise(torch.from_numpy(expected).permute(0, 3, 1, 2), SPEC)
    assert torch.equal(torch.cat([batch.images for batch in batches]), images)
    assert np.array_equal(torch.cat([batch.labels for batch in batches]).numpy(), split.labels)


@pytest.mark.parametrize("augment", [None, FULL, CROPS])
def test_training_is_a_permutation_in_whole_batches(split: Split, augment: AugmentSpec | None) -> None:
    training = loader(split, augment=augment)
    batches = list(training.epoch(3))
    assert len(batches) == training.steps_per_epoch == 3
    assert all(batch.images.shape == (8, 3, 16, 16) for batch in batches)
    assert torch.cat([batch.indices for batch in batches]).tolist() == order(0, 3, 29)[:24].tolist()


def test_a_set_smaller_than_a_batch_is_one_batch(split: Split) -> None:
    (batch,) = loader(split, batch_size=64).epoch(0)
    assert sorted(batch.indices.tolist()) == list(range(29))


@pytest.mark.parametrize("augment", [None, FULL, CROPS, AugmentSpec(mixup=0.2), AugmentSpec(cutmix=1.0)])
@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_an_epoch_resumes_at_any_step(split: Split, augment: AugmentSpec | None, start: int) -> None:
    whole = list(loader(split, augment=augment, seed=4).epoch(2))
    assert same(list(loader(split, augment=augment, seed=4, workers=1).epoch(2, start)), whole[start:])


def test_skipped_steps_are_not_decoded(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "BUDGET_BYTES", 0)
    training, seen = loader(split), []
    monkeypatch.setattr(image_source, "decode_bytes", lambda data, name: seen.append(name) or decode_bytes(data, name))
    list(training.epoch(0, 2))
    assert len(seen) == 8


def test_epochs_and_seeds_differ(split: Split) -> None:
    runs = [list(loader(split, augment=FULL, seed=seed).epoch(epoch)) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert not same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_streaming_gives_the_same_batches(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = loader(split, augment=FULL)
    monkeypatch.setattr(cache, "BUDGET_BYTES", 0)
    streamed = loader(split, augment=FULL)
    assert (kept.how, streamed.how) == ("fixed", "stream")
    assert same(list(kept.epoch(1)), list(streamed.epoch(1)))


def test_random_crops_of_a_stream_are_those_of_the_cache(make_folder: MakeFolder, monkeypatch: Any) -> None:
    path = make_folder("large", {"a": 6, "b": 6}, size=(300, 400))
    split = open_dataset(path, val_fraction=0).splits["train"]
    kept = loader(split, augment=CROPS, batch_size=12)
    monkeypatch.setattr(cache, "BUDGET_BYTES", 0)
    streamed = loader(split, augment=CROPS, batch_size=12)
    assert (kept.how, streamed.how) == ("ragged", "stream")
    (one,), (other,) = kept.epoch(0), streamed.epoch(0)
    assert torch.equal(one.indices, other.indices)
    # The stream decodes at a reduced scale: the same views of the same pictures, within a few levels of 255.
    assert ((one.images - other.images).abs().mean() * 255 * 0.225) < 4


def test_a_full_disk_does_not_change_the_pixels(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = list(loader(split, augment=CROPS).epoch(0))
    monkeypatch.setenv("RESIDUA_CACHE", "/proc/nowhere")
    with pytest.warns(UserWarning, match="cannot be used"):
        streamed = loader(split, augment=CROPS)
    assert same(kept, list(streamed.epoch(0)))


def test_small_images_of_one_size_are_cropped_in_batches(make_folder: MakeFolder) -> None:
    split = open_dataset(make_folder("small", {"a": 9, "b": 9}), val_fraction=0).splits["train"]
    small = loader(split, augment=CROPS)
    assert small.how == "fixed"
    assert next(small.epoch(0)).images.shape == (8, 3, 16, 16)
    pixels = ArrayImages(np.stack([decode(file) for file in split.images.files]))
    from_pixels = loader(Split("train", split.labels, pixels), augment=CROPS)
    assert same(list(small.epoch(0)), list(from_pixels.epoch(0)))


def test_pixels_are_preprocessed_like_files(split: Split) -> None:
    images = [np.asarray(picture(number, 20, 20)) for number in range(10)]
    made = loader(Split("test", np.zeros(10, np.int64), ArrayImages(np.stack(images))), train=False, batch_size=10)
    expected = torch.from_numpy(np.stack([apply_uint8(image, SPEC) for image in images])).permute(0, 3, 1, 2)
    assert torch.equal(next(made.epoch(0)).images, normalise(expected, SPEC))


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("augment", [None, FULL, CROPS])
def test_layout_and_type(split: Split, channels_last: bool, augment: AugmentSpec | None) -> None:
    batch = next(loader(split, channels_last=channels_last, augment=augment, dtype=torch.bfloat16).epoch(0))
    assert batch.images.dtype == torch.bfloat16
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert batch.images.is_contiguous(memory_format=layout)


def test_evaluation_is_not_augmented(split: Split) -> None:
    assert same(list(loader(split, train=False, augment=FULL).epoch(0)), list(loader(split, train=False).epoch(5)))


def damage(split: Split) -> list[int]:
    """Spoil three files in three ways and return their positions."""
    split.images.files[3].write_bytes(b"")
    split.images.files[10].write_bytes(split.images.files[10].read_bytes()[:300])
    split.images.files[20].write_text("text called .jpg")
    return [3, 10, 20]


@pytest.mark.parametrize("augment", [None, CROPS])
def test_bad_images_are_all_named(split: Split, augment: AugmentSpec | None) -> None:
    bad = damage(split)
    with pytest.raises(InputError, match=r"3 of 29 .*on_bad='skip'") as caught:
        loader(split, augment=augment)
    for index in bad:
        assert str(split.images.files[index]) in str(caught.value)


@pytest.mark.parametrize("augment", [None, CROPS])
@pytest.mark.parametrize("train", [True, False])
def test_bad_images_are_skipped_and_never_replaced(split: Split, augment: AugmentSpec | None, train: bool) -> None:
    bad = damage(split)
    skipping = loader(split, augment=augment, on_bad="skip", train=train, batch_size=13)
    assert sorted(skipping.skipped) == bad
    assert skipping.count == 26
    seen = torch.cat([batch.indices for batch in skipping.epoch(0)]).tolist()
    assert sorted(seen) == [index for index in range(29) if index not in bad]
    for batch in skipping.epoch(0):
        assert np.array_equal(batch.labels.numpy(), split.labels[batch.indices.numpy()])


def test_small_crops_with_bad_images_keep_their_places(make_folder: MakeFolder) -> None:
    split = open_dataset(make_folder("small", {"a": 9, "b": 9}), val_fraction=0).splits["train"]
    still = AugmentSpec(crop="random_resized", scale=(1.0, 1.0))
    before = {int(i): image for b in loader(split, augment=still, batch_size=18).epoch(0)
              for i, image in zip(b.indices, b.images, strict=True)}  # fmt: skip
    split.images.files[4].write_bytes(b"")
    after = loader(split, augment=still, batch_size=17, on_bad="skip")
    (batch,) = after.epoch(0)
    assert len(batch.indices) == 17
    for index, image in zip(batch.indices.tolist(), batch.images, strict=True):
        assert torch.equal(image, before[index])


@pytest.mark.parametrize("augment", [None, CROPS])
@pytest.mark.parametrize("place", ["", "/proc/nowhere"])
@pytest.mark.filterwarnings("ignore:The cache")
def test_a_stream_is_examined_when_it_opens(
    split: Split, augment: Any, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = damage(split)
    monkeypatch.setattr(cache, "BUDGET_BYTES", 0)
    if place:
        monkeypatch.setenv("RESIDUA_CACHE", place)
    with pytest.raises(InputError, match=r"3 of 29 .*on_bad='skip'") as caught:
        loader(split, augment=augment)
    for index in bad:
        assert str(split.images.files[index]) in str(caught.value)
    # With one image a batch, none of the batches may be empty.
    for size in (26, 1):
        skipping = loader(split, augment=augment, on_bad="skip", batch_size=size)
        assert (skipping.how, sorted(skipping.skipped), skipping.count) == ("stream", bad, 26)
        batches = list(skipping.epoch(0))
        assert [len(batch.images) for batch in batches] == [size] * (26 // size)
        seen = torch.cat([batch.indices for batch in batches])
        assert sorted(seen.tolist()) == [index for index in range(29) if index not in bad]
        assert np.array_equal(torch.cat([batch.labels for batch in batches]).numpy(), split.labels[seen.numpy()])


def test_a_stream_is_examined_once(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "BUDGET_BYTES", 0)
    first = loader(split)
    for module in (image_source, cache):
        monkeypatch.setattr(module, "decode_bytes", lambda _, name: pytest.fail(f"{name} was decoded again"))
    assert (again := loader(split, on_bad="skip")).count == first.count
    assert again.how == "stream"


def test_a_file_that_breaks_during_training_stops_it(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "BUDGET_BYTES", 0)
    opened = loader(split, on_bad="skip", batch_size=29)
    damage(split)
    with pytest.raises(BadImage):
        list(opened.epoch(0))


def test_leaving_an_epoch_early_ends_its_threads_and_leaves_torchs_alone(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "BUDGET_BYTES", 0)
    running = loader(split, batch_size=2).epoch(0)
    threads = torch.get_num_threads()
    next(running)
    assert torch.get_num_threads() == threads
    running.close()
    assert [thread for thread in threading.enumerate() if thread.name.startswith("residua-decode")] == []


@pytest.mark.parametrize("changes", [{"batch_size": 0}, {"batch_size": -3}, {"workers": -1}])
def test_bad_arguments(split: Split, changes: dict[str, int]) -> None:
    name = next(iter(changes))
    with pytest.raises(InputError, match=f"{name}={changes[name]}"):
        loader(split, **changes)


def test_workers_follow_the_processors() -> None:
    assert 1 <= default_workers() <= 16
