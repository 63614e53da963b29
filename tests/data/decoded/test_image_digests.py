"""What is resumed is the same data to the byte; where it is not, the files are named."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from residua._base.errors import Damaged, InputError
from residua.data.decoded.image_digests import ImageDigests, digest_images, read_digests
from residua.data.open import open_dataset
from residua.training.folder.run_folder import digests_path, origin_path
from residua.training.loop import train
from residua.training.trainer import Trainer
from residua.weights.open import load

MODEL = "cifar_resnet8"
SHORT: dict[str, Any] = {"epochs": 2, "batch_size": 8, "image_size": 16, "workers": 1, "kernels": "eager"}
SHORT |= {"device": "cpu", "checkpoint_every_steps": 1, "progress": False}


class Killed(BaseException):
    """Stands for SIGKILL."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of twelve uncompressed images, all of one size in bytes."""
    random = np.random.default_rng(0)
    for label in ("ants", "bees"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.bmp")
    return tmp_path / "photos"


def killed_run(photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Train two steps into `out` and end."""
    step = Trainer.step
    with monkeypatch.context() as patch:

        def stopping(self: Trainer, group: Any) -> None:
            if self.global_step == 2:
                raise Killed
            step(self, group)

        patch.setattr(Trainer, "step", stopping)
        with pytest.raises(Killed):
            train(photos, MODEL, out=out, **SHORT)
    return out


def swap(one: Path, other: Path) -> None:
    """Exchange two files; sizes and times stay."""
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def test_files_exchanged_between_the_classes_are_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = killed_run(photos, tmp_path / "run", monkeypatch)
    swap(photos / "ants/3.bmp", photos / "bees/7.bmp")
    with pytest.raises(InputError) as error:
        train(photos, out=run, resume=True, progress=False)
    assert "2 files differ: " in str(error.value)
    for name in ("ants/3.bmp has different content", "bees/7.bmp has different content"):
        assert name in str(error.value)
    assert "resume" not in error.value.remedy, "the remedy is the command that failed"
    swap(photos / "ants/3.bmp", photos / "bees/7.bmp")
    train(photos, MODEL, out=tmp_path / "whole", **SHORT)
    again = train(photos, out=run, resume=True, progress=False)
    assert again.weights_sha256 == load(tmp_path / "whole").weights_sha256


def test_one_changed_pixel_a_new_file_and_a_lost_one_are_named(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = killed_run(photos, tmp_path / "run", monkeypatch)
    before = os.stat(photos / "ants/0.bmp")
    content = bytearray((photos / "ants/0.bmp").read_bytes())
    content[-1] ^= 1
    (photos / "ants/0.bmp").write_bytes(content)
    os.utime(photos / "ants/0.bmp", ns=(before.st_atime_ns, before.st_mtime_ns))
    (photos / "ants/1.bmp").rename(photos / "ants/new.bmp")
    with pytest.raises(InputError) as error:
        train(photos, out=run, resume=True, progress=False)
    for words in ("ants/new.bmp is new", "ants/1.bmp is gone", "2 files differ"):
        assert words in str(error.value)
    (photos / "ants/new.bmp").rename(photos / "ants/1.bmp")
    with pytest.raises(InputError, match=r"1 file differs: ants/0\.bmp has different content"):
        train(photos, out=run, resume=True, progress=False)


def test_data_that_moved_is_the_same_data(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = killed_run(photos, tmp_path / "run", monkeypatch)
    photos.rename(tmp_path / "elsewhere")
    assert train(tmp_path / "elsewhere", out=run, resume=True, progress=False).metrics["epochs"] == 2


def test_a_run_of_an_earlier_version_is_compared_by_its_hash(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = killed_run(photos, tmp_path / "run", monkeypatch)
    digests_path(run).unlink()
    document = json.loads(origin_path(run).read_text())
    recipes = document["recipe"]
    for recipe in recipes.values():
        recipe["engine"] = recipe.pop("kernels")
    document["recipe"] = {"many": recipes["large"], "few": recipes["small"]}
    origin_path(run).write_text(json.dumps(document))
    (photos / "ants/0.bmp").rename(photos / "ants/zero.bmp")
    with pytest.raises(InputError, match="its hash differs"):
        train(photos, out=run, resume=True, progress=False)
    (photos / "ants/zero.bmp").rename(photos / "ants/0.bmp")
    with pytest.warns(UserWarning, match=r"images\.npz is not there: the bytes of the images are not compared"):
        train(photos, out=run, resume=True, progress=False)
    assert digests_path(run).is_file()


def test_digests_survive_a_file_and_names_of_any_bytes(photos: Path, tmp_path: Path) -> None:
    (photos / "ants/0.bmp").rename(photos / os.fsdecode(b"ants/\xff \n.bmp"))
    found = digest_images(open_dataset(photos), workers=2)
    assert found is not None
    assert len(set(found.names)) == 24
    found.write(tmp_path / "images.npz")
    again = read_digests(tmp_path / "images.npz")
    assert again is not None
    assert again.names == found.names
    assert again.differences(found) == {}
    assert digest_images(open_dataset("digits"), workers=1) is None, "the data's hash covers its pixels"


def test_damaged_digests_stop_a_resumption(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = killed_run(photos, tmp_path / "run", monkeypatch)
    whole = digests_path(run).read_bytes()
    digests_path(run).write_bytes(b"")
    with pytest.raises(Damaged, match="different folder: out=FOLDER"):
        train(photos, out=run, resume=True, progress=False)
    # Both remedies help: the file from a copy, and a different folder.
    assert train(photos, MODEL, out=tmp_path / "other", **SHORT).metrics["epochs"] == 2
    digests_path(run).write_bytes(whole)
    assert train(photos, out=run, resume=True, progress=False).metrics["epochs"] == 2


@pytest.mark.parametrize("damage", ["empty", "half", "one bit", "other arrays", "a list"])
def test_damaged_digests_are_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    ImageDigests(("a", "b"), np.arange(32, dtype=np.uint8).reshape(2, 16)).write(path)
    whole = path.read_bytes()
    bit = bytearray(whole)
    bit[whole.index(b"digests.npy") + 150] ^= 1
    if damage == "other arrays":
        np.savez(path, digests=np.zeros((3, 16)))
    else:
        path.write_bytes(
            {"empty": b"", "half": whole[: len(whole) // 2], "one bit": bytes(bit), "a list": b"[1]"}[damage]
        )
    with pytest.raises(Damaged, match=r"images\.npz") as error:
        read_digests(path)
    changed = "it was cut short or changed after it was written"
    assert error.value.reason == ("it is empty" if damage == "empty" else changed)
    assert "different folder: out=FOLDER" in error.value.remedy
    assert "repeat" not in error.value.remedy
    assert pickle.loads(pickle.dumps(error.value)).remedy == error.value.remedy
    assert read_digests(tmp_path / "none.npz") is None
