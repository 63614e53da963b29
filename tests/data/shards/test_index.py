"""What the index of shards states is held against the files: whole packs, whole numbers, the very bytes."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.pictures import picture
from residua._base.errors import InputError
from residua.cli.app import main
from residua.data.open import open_dataset
from residua.data.shards import index as indexing
from residua.data.shards import open as opening
from residua.data.shards import pack as packing
from residua.data.shards.pack import PLAN_FILE, check_shards, pack
from residua.data.shards.remote import RemoteFolder


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve pictures of two classes, three to a shard; the cache is the test's own."""
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(packing, "_plans", lambda split, size, real=packing._plans: real(split, 300))
    for number in range(12):
        folder = tmp_path / "photos" / "train" / ("ant", "bee")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture(number, 8, 8).save(folder / f"{number}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("form", ["tar", "parquet"])
def test_a_pack_that_has_not_finished_is_no_data(
    photos: Path, tmp_path: Path, form: packing.ShardFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shards"
    pack(open_dataset(photos, val_fraction=0), out, form=form)
    (out / "index.json").rename(tmp_path / "index.json")
    (out / PLAN_FILE).write_text("{}")
    for command in (
        ["check", str(out)],
        ["train", str(out), "--model", "cifar_resnet8", "--out", str(tmp_path / "run")],
    ):
        assert main(command) == 2
        assert "where residua pack has not finished" in capsys.readouterr().err
    # Killed between the index and the end, it is whole.
    (tmp_path / "index.json").rename(out / "index.json")
    assert len(open_dataset(out, val_fraction=0).splits["train"]) == 12


def test_a_finished_pack_is_not_repeated(photos: Path, tmp_path: Path) -> None:
    dataset, out = open_dataset(photos, val_fraction=0), tmp_path / "shards"
    index = pack(dataset, out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert pack(dataset, out) == index
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    shard = out / index.shards[0].url
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert pack(dataset, out) == index, "what is damaged is packed again"
    assert shard.read_bytes() == content
    assert check_shards(out) == []
    picture(50, 8, 8).save(photos / "train" / "ant" / "50.png")
    with pytest.raises(InputError, match="a folder that is new or empty"):
        pack(open_dataset(photos, val_fraction=0), out)


@pytest.mark.parametrize("form", ["tar", "parquet"])
def test_a_shard_with_the_bytes_of_another_is_named(
    photos: Path, tmp_path: Path, form: packing.ShardFormat, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "shards"
    pack(open_dataset(photos, val_fraction=0), out, form=form)
    first, second = sorted(out.glob(f"*.{form}"))[:2]
    second.write_bytes(first.read_bytes().ljust(second.stat().st_size, b"\0")[: second.stat().st_size])
    with pytest.raises(InputError, match=rf"{second.name} holds other bytes \(SHA-256 \w+…; the index has \w+…\)"):
        open_dataset(out, val_fraction=0)
    kept = open_dataset(out, val_fraction=0, on_bad="skip")
    assert len(kept.splits["train"]) < 12
    assert any(f"skipped: {second.name} holds other bytes" in note for note in kept.notes)
    assert check_shards(out)[0].startswith(f"{second.name} holds other bytes")


def test_bytes_are_read_again_where_a_file_has_changed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, read = tmp_path / "shards", []
    pack(open_dataset(photos, val_fraction=0), out)
    monkeypatch.setattr(
        indexing, "sha256_file", lambda path, real=indexing.sha256_file: (read.append(path.name), real(path))[1]
    )
    names = sorted(path.name for path in out.glob("*.tar"))
    for expected in (names, [], names[:1]):
        if expected == names[:1]:
            (out / names[0]).touch()
        read.clear()
        open_dataset(out, val_fraction=0)
        assert sorted(read) == expected


def test_a_large_data_set_checks_each_shard_when_it_is_read(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "shards"
    pack(open_dataset(photos, val_fraction=0), out)
    monkeypatch.setattr(indexing, "LARGE_BYTES", 1)
    monkeypatch.setattr(opening, "check_files", None)
    shard = sorted(out.glob("*.tar"))[0]
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1  # behind the images, which still decode
    shard.write_bytes(content)
    read: list[str] = []
    monkeypatch.setattr(
        indexing, "sha256_file", lambda path, real=indexing.sha256_file: (read.append(path.name), real(path))[1]
    )
    images = open_dataset(out, val_fraction=0).splits["train"].images
    assert not read
    reasons: list[str] = []
    for number in range(12):
        try:
            assert images.read(number).dtype == np.uint8
        except InputError as error:
            reasons.append(error.given)
    assert 0 < len(reasons) < 12
    assert all(f"{shard.name}/image" in reason and "its shard holds other bytes" in reason for reason in reasons)
    assert not any("fetched" in reason for reason in reasons)
    assert sorted(read) == sorted(path.name for path in out.glob("*.tar")), "each once, a damaged one too"


def test_a_shard_that_cannot_be_read_is_named(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "shards"
    index = pack(open_dataset(photos, val_fraction=0), out)
    name = index.shards[1].url

    def broken(path: Path, real: Callable[[Path], str] = indexing.sha256_file) -> str:
        if path.name == name:
            raise OSError(errno.EIO, "Input/output error")
        return real(path)

    monkeypatch.setattr(indexing, "sha256_file", broken)
    with pytest.raises(InputError, match=rf"{name} cannot be read \(Input/output error\)"):
        open_dataset(out, val_fraction=0)
    assert 0 < len(open_dataset(out, val_fraction=0, on_bad="skip").splits["train"]) < 12


@pytest.mark.parametrize("first", [0, 1], ids=["from 0 on", "from 1 on"])
def test_files_that_the_names_of_others_count_are_missed(photos: Path, tmp_path: Path, first: int) -> None:
    out = tmp_path / "shards"
    pack(open_dataset(photos, val_fraction=0), out, form="parquet")
    (out / "index.json").unlink()
    files = sorted(out.glob("*.parquet"))
    names = [f"train-{number:05d}-of-{len(files):05d}.parquet" for number in range(first, first + len(files))]
    for file, name in reversed(list(zip(files, names, strict=True))):
        file.rename(out / name)
    assert len(open_dataset(out, val_fraction=0).splits["train"]) == 12
    (out / names[1]).unlink()
    with pytest.raises(InputError, match=rf"{names[1]} is missing"):
        open_dataset(out, val_fraction=0)
    assert 0 < len(open_dataset(out, val_fraction=0, on_bad="skip").splits["train"]) < 12


def test_an_address_keeps_its_slashes(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec")
    pack(open_dataset(photos, val_fraction=0), tmp_path / "shards")
    monkeypatch.chdir("/")
    for name in ("RESIDUA_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for address in (f"file://{tmp_path}/shards", Path(f"file://{tmp_path}/shards")):
        dataset = open_dataset(address, val_fraction=0)
        assert len(dataset.splits["train"]) == 12
        assert dataset.splits["train"].images.read(0).shape == (8, 8, 3)
        assert dataset.location == f"file://{tmp_path}/shards"
    assert RemoteFolder(Path("memory://bucket/a")).location == "memory://bucket/a"  # type: ignore[arg-type]
    assert RemoteFolder("memory:///a/").location == "memory:///a"
