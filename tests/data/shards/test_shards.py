"""Tar shards: WebDataset's layout as others write it, damaged ones, and a data set packed and read again."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from residua._base.errors import InputError
from residua.cli.app import main
from residua.data.dataset import Dataset
from residua.data.doctor.check import check
from residua.data.open import open_dataset, reopen
from residua.data.shards import pack as packing
from residua.data.shards.files import part_of
from residua.data.shards.pack import PLAN_FILE, check_shards, pack


def picture(shade: int, form: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(stream, form)
    return stream.getvalue()


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def pixels(dataset: Dataset, part: str) -> list[tuple[str, int]]:
    split = dataset.splits[part]
    labels = [dataset.classes[label] for label in split.labels]
    return [(label, int(split.images.read(index)[0, 0, 0])) for index, label in enumerate(labels)]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders in train and test, a JPEG among PNGs."""
    for part, count in (("train", 7), ("test", 2)):
        for label, first in (("ant", 0), ("bee", 100)):
            folder = tmp_path / "photos" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                (folder / f"{number}.png").write_bytes(picture(first + number))
    (tmp_path / "photos" / "train" / "bee" / "9.jpg").write_bytes(picture(200, "JPEG"))
    return tmp_path / "photos"


@pytest.mark.parametrize(
    "labels",
    [
        ("a.cls", b"1", "b.cls", b"0\n"),
        ("a.json", b'{"label": 1}', "b.json", b'{"cls": 0, "caption": "x"}'),
        ("a.cls", b"bee", "b.cls", b"ant"),
    ],
)
def test_webdatasets_layout_is_read_as_it_is(tmp_path: Path, labels: tuple[str, bytes, str, bytes]) -> None:
    first, one, second, zero = labels
    members = {"a.jpg": picture(10, "JPEG"), first: one, "a.seg.png": picture(0), second: zero, "b.png": picture(20)}
    write_tar(tmp_path / "x-train-000000.tar", members)
    write_tar(tmp_path / "x-val-000000.tar", {"c.png": picture(30), f"c{Path(second).suffix}": zero})
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    dataset = open_dataset(tmp_path)
    assert dataset.classes == ("ant", "bee")
    assert pixels(dataset, "train") == [("bee", 10), ("ant", 20)]
    assert pixels(dataset, "val") == [("ant", 30)]
    assert dataset.image_name(dataset.splits["train"], 0) == "x-train-000000.tar/a.jpg"
    (tmp_path / "classes.txt").unlink()
    names = ("ant", "bee") if one == b"bee" else ("0", "1")
    assert open_dataset(tmp_path).classes == names


def test_class_folders_in_one_tar_file(tmp_path: Path) -> None:
    members = {f"set/{label}/{n}.png": picture(shade + n) for label, shade in (("b", 50), ("a", 0)) for n in range(4)}
    path = write_tar(tmp_path / "photos.tar", members)
    dataset = open_dataset(path, val_fraction=0)
    assert dataset.classes == ("a", "b")
    assert sorted(pixels(dataset, "train")) == [(("a", "b")[n // 4], 50 * (n // 4) + n % 4) for n in range(8)]
    assert dataset.image_name(dataset.splits["train"], 0) == "set/b/0.png"


def test_names_state_the_parts() -> None:
    names = ("train-000000.tar", "imagenet-validation-12.tar", "test_3.tar", "shard-000000.tar", "x.tar", "Train0.tar")
    assert [part_of(name) for name in names] == ["train", "val", "test", "", "", "train"]


def test_a_packed_data_set_is_the_same_data(photos: Path, tmp_path: Path) -> None:
    before, out = open_dataset(photos, val_fraction=0), tmp_path / "shards"
    calls: list[tuple[int, int]] = []
    index = pack(before, out, workers=2, progress=lambda done, total: calls.append((done, total)))
    after = open_dataset(out, val_fraction=0)
    assert after.classes == before.classes == index.classes
    for part in ("train", "test"):
        assert sorted(pixels(after, part)) == sorted(pixels(before, part))
        encoded = [
            {split.images.encoded(n) for n in range(len(split))} for split in (before.splits[part], after.splits[part])
        ]
        assert encoded[0] == encoded[1]
    assert calls[-1] == (19, 19)
    assert check_shards(out) == []
    assert reopen(after.describe(full=True)).hash == after.hash
    assert {shard.part: shard.nsamples for shard in index.shards} == {"train": 15, "test": 4}
    again = pack(before, tmp_path / "again", workers=1)
    assert again.shards == index.shards, "the same data give the same bytes"
    report, of_files = check(out), check(photos)
    assert (report.images, report.counts) == (19, of_files.counts)
    kinds = [[finding.kind for finding in each.findings if finding.kind != "layout"] for each in (report, of_files)]
    assert kinds[0] == kinds[1]


def test_a_pack_that_was_stopped_goes_on(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_plans", lambda split, size, real=packing._plans: real(split, 300))
    dataset, out = open_dataset(photos, val_fraction=0), tmp_path / "shards"
    whole = pack(dataset, tmp_path / "whole")
    real, written = packing._write, []

    def write(writer: packing.Writer, plan: packing.ShardPlan, folder: Path) -> packing.Shard:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(plan.name)
        return real(writer, plan, folder)

    monkeypatch.setattr(packing, "_write", write)
    with pytest.raises(KeyboardInterrupt):
        pack(dataset, out, workers=1)
    assert not (out / "index.json").exists()
    kept = set(json.loads((out / PLAN_FILE).read_text())["done"])
    assert kept
    with pytest.raises(InputError, match="other data or other shards"):
        pack(open_dataset(photos), out)
    written.clear()
    monkeypatch.setattr(packing, "_write", lambda *each: (written.append(each[1].name), real(*each))[1])
    assert pack(dataset, out) == whole
    assert set(written) == {shard.url for shard in whole.shards} - kept
    assert not (out / PLAN_FILE).exists()


def test_shards_that_are_missing_cut_off_or_changed_are_named(photos: Path, tmp_path: Path) -> None:
    dataset, out = open_dataset(photos, val_fraction=0), tmp_path / "shards"
    pack(dataset, out)
    train, test = out / "train-000000.tar", out / "test-000000.tar"
    content = train.read_bytes()
    changed = content.replace(picture(103), picture(104), 1)
    assert changed != content
    train.write_bytes(changed)
    assert [fault.split(" (")[0] for fault in check_shards(out)] == ["train-000000.tar holds other bytes"]
    train.write_bytes(content[:2048] + b"x" + content[2049:])
    with pytest.raises(InputError, match=r"train-000000\.tar holds other bytes"):
        open_dataset(out)
    with pytest.raises(InputError, match=r"train-000000\.tar.*the header at byte 2,048 is damaged"):
        open_dataset(train)
    with pytest.raises(InputError, match=r"no training images .*train-000000\.tar holds other bytes"):
        check(out)
    train.write_bytes(content[:-1])
    with pytest.raises(InputError, match=r"train-000000\.tar is cut off"):
        open_dataset(out)
    train.write_bytes(content)
    test.unlink()
    with pytest.raises(InputError, match=r"test-000000\.tar is missing"):
        open_dataset(out)
    write_tar(out / "train-000001.tar", {"a/x.png": picture(1)})
    with pytest.raises(InputError, match=r"train-000001\.tar is not in index\.json"):
        open_dataset(out)


def test_images_that_the_index_has_and_the_shard_lacks_are_missed(photos: Path, tmp_path: Path) -> None:
    dataset, out = open_dataset(photos, val_fraction=0), tmp_path / "shards"
    pack(dataset, out)
    index = out / "index.json"
    document = json.loads(index.read_text())
    document["shardlist"][0]["nsamples"] = 16
    index.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"its numbers of images of train differ"):
        open_dataset(out)
    index.write_text(json.dumps(document | {"parts": []}))  # an index of an earlier version
    with pytest.raises(InputError, match=r"train-000000\.tar holds 15 labelled images; index\.json has 16"):
        open_dataset(out)


def test_a_tar_file_beside_class_folders_is_no_shard(photos: Path, tmp_path: Path) -> None:
    write_tar(photos / "train" / "photos.tar", {"a/x.png": picture(1), "b/y.png": picture(2)})
    write_tar(photos / "notes.tar", {"notes.txt": b"x"})
    assert open_dataset(photos / "train", val_fraction=0).classes == ("ant", "bee")
    assert open_dataset(photos, val_fraction=0).classes == ("ant", "bee")


def test_a_pack_that_was_stopped_before_its_first_shard_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, out = open_dataset(photos, val_fraction=0), tmp_path / "shards"

    def stop(*arguments: object, **options: object) -> None:
        (out / ".train-000000.tar.x.part").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(packing, "wait", stop)
        with pytest.raises(KeyboardInterrupt):
            pack(dataset, out)
    pack(dataset, out)
    arrays = [f"{part}.{array}.npy" for part in ("test", "train") for array in ("labels", "places")]
    assert sorted(each.name for each in out.iterdir()) == sorted(
        ["index.json", "test-000000.tar", "train-000000.tar", *arrays]
    )


def test_several_labels_are_not_packed(tmp_path: Path) -> None:
    for name in "abcd":
        (tmp_path / f"{name}.png").write_bytes(picture(ord(name)))
    table = tmp_path / "labels.csv"
    table.write_text("path,label\na.png,x;y\nb.png,x\nc.png,y\nd.png,\n")
    dataset = open_dataset(tmp_path, labels=table, val_fraction=0)
    with pytest.raises(InputError, match="several labels"):
        pack(dataset, tmp_path / "shards")
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"ant\n"])
def test_names_of_classes_that_do_not_fit(tmp_path: Path, content: bytes) -> None:
    write_tar(tmp_path / "train-0.tar", {"a.png": picture(1), "a.cls": b"0", "b.png": picture(2), "b.cls": b"1"})
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"classes\.txt|label 1"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:700]), "cannot be read to its end"),
        (lambda path: path.write_bytes(b"\x1f\x8b" + path.read_bytes()), "compressed"),
        (lambda path: path.write_bytes(b"no tar file at all" * 100), "cannot be read to its end"),
        (lambda path: write_tar(path, {"a.png": picture(1)}), r"a\.png has no label"),
        (lambda path: write_tar(path, {"a.png": picture(1), "a.cls": b""}), r"a\.cls is empty"),
        (lambda path: write_tar(path, {"a.png": picture(1), "a.json": b"{"}), "cannot be read to its end"),
        (lambda path: write_tar(path, {"a.png": picture(1), "a.json": b"[" * 9**5}), "cannot be read to its end"),
    ],
)
def test_damaged_shards_are_refused_or_skipped(tmp_path: Path, damage: object, words: str) -> None:
    for number in range(3):
        write_tar(tmp_path / f"train-{number}.tar", {f"{c}/{number}{n}.png": picture(n) for c in "ab" for n in (1, 2)})
    assert callable(damage)
    damage(tmp_path / "train-1.tar")
    with pytest.raises(InputError, match=words):
        open_dataset(tmp_path)
    skipped = open_dataset(tmp_path, on_bad="skip", val_fraction=0)
    assert len(skipped.splits["train"]) == 8
    assert any(note.startswith("skipped: ") for note in skipped.notes)
    if "no label" not in words:
        # Nothing would be left of one shard alone, whatever is skipped.
        with pytest.raises(InputError, match=words) as error:
            open_dataset(tmp_path / "train-1.tar", on_bad="skip")
        assert error.value.given.count("train-1.tar") == 1


def test_the_command(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "shards"
    assert main(["pack", str(photos), "--out", str(out)]) == 0
    assert "train: 15 images in 1 shard" in capsys.readouterr().out
    assert main(["pack", "--check", str(out)]) == 0
    assert main(["pack", str(photos), "--out", str(out)]) == 0, "nothing is left to do"
    assert main(["pack", str(photos), "--out", str(out), "--format", "parquet"]) == 2
    assert main(["pack", "--check", str(photos)]) == 2
    assert main(["pack", str(photos)]) == 2
    capsys.readouterr()
    assert main(["pack", str(photos), "--out", str(photos / "train" / "shards")]) == 2
    assert f"Use --out {photos}-shards" in capsys.readouterr().err
    assert not (photos / "train" / "shards").exists()
    with (out / "test-000000.tar").open("r+b") as stream:
        stream.write(b"x")
    capsys.readouterr()
    assert main(["pack", "--check", str(out), "--json"]) == 1
    assert "test-000000.tar holds other bytes" in json.loads(capsys.readouterr().out)["faults"][0]


def test_a_pack_that_was_killed_goes_on(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(24):
            (tmp_path / "photos" / label / f"{number}.png").write_bytes(noise.bytes(500_000))
    words = [sys.executable, "-m", "residua", "pack", str(tmp_path / "photos"), "--out"]
    whole, out = tmp_path / "whole", tmp_path / "shards"
    subprocess.run([*words, str(whole), "--shard-megabytes", "1"], check=True, capture_output=True, timeout=120)
    killed = subprocess.Popen([*words, str(out), "--shard-megabytes", "1", "--workers", "1"], stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not list(out.glob("train-*.tar")):
        assert killed.poll() is None
        assert time.monotonic() < until
        time.sleep(0.001)
    killed.send_signal(signal.SIGKILL)
    killed.wait(60)
    assert not (out / "index.json").exists()
    assert 0 < len(list(out.glob("*.tar"))) < 24
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    recorded = json.loads((out / PLAN_FILE).read_text())["done"]
    subprocess.run([*words, str(out), "--shard-megabytes", "1"], check=True, capture_output=True, timeout=120)
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.suffix != ".json"} == {
        path.name: path.read_bytes() for path in whole.iterdir() if path.suffix != ".json"
    }
    assert all((out / name).stat().st_mtime_ns == kept[name] for name in recorded), "whole shards are kept"
    assert check_shards(out) == []
