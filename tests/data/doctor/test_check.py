"""The doctor names each fault, and finds nothing in sound data."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.pictures import MakeFolder, picture
from residua._base.errors import InputError
from residua.cli.app import main as command
from residua.data.doctor.check import CheckReport, check
from residua.data.doctor.duplicates import near_pairs


def kinds(report: CheckReport) -> dict[str, bool]:
    return {finding.kind: finding.must_fix for finding in report.findings}


def files_of(report: CheckReport, kind: str) -> str:
    return " ".join(str(finding.files) for finding in report.findings if finding.kind == kind)


@pytest.fixture
def sound(make_folder: MakeFolder) -> Path:
    path = make_folder("photos/train", {"ants": 6, "bees": 5}).parent
    make_folder("photos/val", {"ants": 2, "bees": 3})
    return path


def test_sound_data(sound: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = check(sound, progress=lambda done, total: seen.append((done, total)))
    assert report.ok
    assert report.findings == ()
    assert report.images == 16
    assert report.counts == {"train": {"ants": 6, "bees": 5}, "val": {"ants": 2, "bees": 3}}
    assert report.sizes["median"] == (24, 32)
    assert seen[-1] == (16, 16)
    assert "Nothing must be fixed" in report.to_text()
    document = json.loads(report.to_json())
    assert document["ok"] is True
    assert document["counts"] == report.counts


def test_files_that_do_not_decode(sound: Path) -> None:
    (sound / "train/ants/000.jpg").write_bytes(b"")
    whole = (sound / "train/ants/001.jpg").read_bytes()
    (sound / "train/ants/001.jpg").write_bytes(whole[:-30])
    (sound / "train/bees/000.jpg").write_text("text called .jpg")
    (sound / "val/bees/broken.png").symlink_to(sound / "gone")
    report = check(sound)
    assert not report.ok
    assert {kind for kind, must_fix in kinds(report).items() if must_fix} == {
        "empty",
        "truncated",
        "corrupt",
        "unreadable",
    }
    assert "ants/000.jpg" in files_of(report, "empty")
    assert "ants/001.jpg" in files_of(report, "truncated")
    assert "bees/000.jpg" in files_of(report, "corrupt")
    assert "broken.png" in files_of(report, "unreadable")
    assert "FIX " in report.to_text()


def test_formats_that_are_not_read_are_not_called_corrupt(sound: Path) -> None:
    (sound / "train/ants/phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60))
    (sound / "train/ants/page.jpg").write_bytes(b"<!DOCTYPE html><title>404</title>")
    report = check(sound)
    assert kinds(report) == {"unsupported": True}
    assert 'phone.heic (a HEIC photo, which needs an extra: pip install "residua[heif]")' in report.to_text()
    assert "page.jpg (a web page, which is not read)" in report.to_text()


def test_extensions_modes_and_sizes(sound: Path) -> None:
    picture(50).save(sound / "train/ants/lies.jpg", "PNG")
    picture(51).convert("CMYK").save(sound / "train/ants/print.jpg")
    picture(52).convert("L").save(sound / "train/bees/grey.png")
    picture(53, 16, 200).save(sound / "train/bees/panorama.jpg")
    report = check(sound)
    assert report.ok
    assert kinds(report) == {"extension": False, "mode": False, "size": False}
    assert "lies.jpg (is PNG)" in files_of(report, "extension")
    assert "print.jpg (CMYK)" in files_of(report, "mode")
    assert "grey.png (L)" in files_of(report, "mode")
    assert "panorama.jpg (200 × 16)" in files_of(report, "size")


@pytest.mark.parametrize("top", [255, 1023, 4095, 16383])
def test_16_bit_images_of_few_levels(sound: Path, top: int) -> None:
    grey = np.asarray(picture(54).convert("L")).astype(np.uint16)
    Image.fromarray(np.rint(grey * (top / 255)).astype(np.uint16)).save(sound / "train/ants/deep.png")
    Image.fromarray(grey * 257).save(sound / "train/ants/whole.png")
    report = check(sound)
    assert report.ok
    assert kinds(report) == {"mode": False, "levels": False}
    assert "deep.png" in files_of(report, "levels")
    assert "whole.png" not in files_of(report, "levels")
    assert "1 16-bit image uses the lowest levels" in report.to_text()


def test_images_of_one_colour_are_named(sound: Path) -> None:
    Image.new("RGB", (32, 24), (255, 255, 255)).save(sound / "train/ants/white.png")
    faint = np.asarray(picture(55)) // 32 + 100
    Image.fromarray(faint.astype(np.uint8)).save(sound / "train/ants/faint.png")
    (finding,) = check(sound).findings
    assert (finding.kind, finding.must_fix) == ("levels", False)
    assert "levels 255 to 255" in str(finding.files)
    assert len(finding.files) == 2


def test_names_cannot_write_to_the_terminal(sound: Path) -> None:
    (sound / "train/ants/\x1b[2Jevil\u202e.jpg").write_bytes(b"")
    report = check(sound)
    assert "\x1b" not in report.to_text()
    assert "\u202e" not in report.to_text()
    assert r"\x1b[2Jevil\u202e.jpg" in report.to_text()
    document = report.to_json()
    assert document.isascii()
    assert "\x1b" not in document
    assert "\x1b[2Jevil" in json.loads(document)["findings"][0]["files"][0]


def test_exact_duplicates(sound: Path) -> None:
    shutil.copy(sound / "train/ants/000.jpg", sound / "train/ants/copy.jpg")
    report = check(sound)
    assert report.ok
    assert kinds(report) == {"duplicate": False}
    shutil.copy(sound / "train/ants/001.jpg", sound / "val/ants/leak.jpg")
    # The same pixels in another format are the same image.
    with Image.open(sound / "train/bees/001.jpg") as image:
        image.save(sound / "train/ants/bee.png")
    report = check(sound)
    assert not report.ok
    assert kinds(report) == {"duplicate-across-splits": True, "duplicate-across-classes": True, "duplicate": False}
    assert "leak.jpg" in files_of(report, "duplicate-across-splits")
    assert "bee.png" in files_of(report, "duplicate-across-classes")


def test_near_duplicates(sound: Path) -> None:
    with Image.open(sound / "train/bees/002.jpg") as image:
        image.resize((48, 36)).save(sound / "val/bees/larger.jpg", quality=60)
        Image.fromarray(np.asarray(image) // 2 + 60).save(sound / "train/bees/other.png")
    report = check(sound)
    assert report.ok
    (finding,) = report.findings
    assert finding.kind == "near-duplicate-across-splits"
    assert [sorted(Path(name).name for name in pair) for pair in finding.files] == [["002.jpg", "larger.jpg"]]
    (sound / "val/bees/larger.jpg").rename(sound / "train/bees/larger.jpg")
    assert kinds(check(sound)) == {"near-duplicate": False}


def test_of_equal_images_one_stands_for_all(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Image.open(sound / "train/bees/002.jpg") as image:
        image.resize((48, 36)).save(sound / "train/bees/larger.jpg", quality=60)
    for number in range(20):
        shutil.copy(sound / "train/bees/002.jpg", sound / f"train/bees/copy{number}.jpg")
    shutil.copy(sound / "train/bees/002.jpg", sound / "val/bees/copy.jpg")
    compared: list[int] = []
    monkeypatch.setattr(
        "residua.data.doctor.repeated.near_pairs",
        lambda thumbnails: compared.append(len(thumbnails)) or near_pairs(thumbnails),
    )
    report = check(sound)
    assert compared == [17]
    # A copy of the one stands in val, and the other in train.
    assert kinds(report) == {
        "duplicate-across-splits": True,
        "near-duplicate-across-splits": False,
        "placeholder": False,
    }
    (pairs,) = (finding.files for finding in report.findings if finding.kind == "near-duplicate-across-splits")
    assert len(pairs) == 1


def test_beyond_the_limit_no_thumbnails_are_kept(sound: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("check", "repeated"):
        monkeypatch.setattr(f"residua.data.doctor.{module}.NEAR_LIMIT", 15)
    seen: list[object] = []
    monkeypatch.setattr(
        "residua.data.doctor.check.odd", lambda images, results: seen.extend(each.thumbnail for each in results) or ()
    )
    assert kinds(check(sound)) == {"not-examined": False}
    assert seen == [None] * 16


def test_folders_beside_the_parts_are_named(sound: Path) -> None:
    for name in ("cars", "dogs"):
        (sound / name).mkdir()
    (finding,) = check(sound).findings
    assert finding.kind == "layout"
    assert "cars (0 images), dogs (0 images)" in finding.message


def test_near_pairs_are_found_across_blocks() -> None:
    drawn = [np.asarray(picture(number, 16, 16)) for number in range(1500)]
    noise = np.random.default_rng(0)
    drawn[1400] = np.clip(drawn[3].astype(int) + noise.integers(-4, 5, (16, 16, 3)), 0, 255).astype(np.uint8)
    assert near_pairs(np.stack(drawn)) == [(3, 1400)]
    assert near_pairs(np.full((10, 16, 16, 3), 90, np.uint8)) == []


def test_classes_and_balance(make_folder: MakeFolder) -> None:
    path = make_folder("photos/train", {"a": 30, "b": 2, "c": 3}).parent
    make_folder("photos/val", {"a": 2, "b": 0, "d": 1})
    report = check(path)
    assert not report.ok
    found = sorted((finding.kind, finding.must_fix) for finding in report.findings)
    # Training goes on where val lacks a class; a class that train lacks is a fault.
    assert found == [("absent-class", False), ("absent-class", True), ("imbalance", False)]
    messages = " ".join(finding.message for finding in report.findings)
    assert "train has no images of d" in messages
    assert "val has no images of b, c" in messages
    assert "30 of a and 2 of b, 15 : 1. Always answering a is right for 85.7% of these images" in messages
    assert "balanced accuracy of 33.3%" in messages


def test_one_class(make_folder: MakeFolder) -> None:
    assert kinds(check(make_folder("photos", {"a": 3}))) == {"layout": True}


def test_nothing_to_examine(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is empty"):
        check(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        check(tmp_path / "gone")


def test_digits() -> None:
    report = check("digits")
    assert report.ok
    assert report.images == 1797
    assert list(report.counts) == ["train", "test"]
    assert "digits: 1,797 images, 10 classes" in report.to_text()


def test_imbalance_is_spoken_of_from_five_to_one(make_folder: MakeFolder, capsys: pytest.CaptureFixture[str]) -> None:
    path = make_folder("photos", {"a": 25, "b": 5})
    (finding,) = check(path).findings
    assert (finding.kind, finding.must_fix) == ("imbalance", False)
    assert "5 : 1" in finding.message
    assert "a tenth to validate holds 1 of b" in finding.message
    assert command(["check", str(path)]) == 0
    assert f"residua train {path} --balance logits --keep best --keep-by balanced_accuracy" in capsys.readouterr().out
    assert check(make_folder("other", {"a": 24, "b": 5})).findings == ()
    lines = [f"{file.relative_to(path)},{file.parent.name},{file.stem}" for file in sorted(path.glob("*/*"))]
    table = path.parent / "labels.csv"
    table.write_text("\n".join(["photo,kind,day", *lines]))
    words = [str(path), "--labels", str(table), "--columns", "label=kind", "--groups", "day"]
    assert command(["check", *words]) == 0
    assert shlex.join(["residua", "train", *words, "--balance", "logits"]) in capsys.readouterr().out


def test_a_picture_with_two_labels_is_a_conflict(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(sound / "train/ants/000.jpg", sound / "train/bees/same.jpg")
    with Image.open(sound / "train/bees/002.jpg") as image:
        image.resize((48, 36)).save(sound / "train/ants/larger.jpg", quality=60)
    report = check(sound)
    assert kinds(report) == {"duplicate-across-classes": True, "near-duplicate-across-classes": False}
    assert "000.jpg (ants)" in files_of(report, "duplicate-across-classes")
    assert "same.jpg (bees)" in files_of(report, "duplicate-across-classes")
    assert command(["check", str(sound)]) == 1
    printed = capsys.readouterr().out
    assert f"Files are named within {sound}\n" in printed
    assert "        train/ants/000.jpg (ants) = train/bees/same.jpg (bees)\n" in printed
    assert printed.count(str(sound)) == 2


def test_placeholders_are_named(sound: Path) -> None:
    drawing = np.full((60, 80, 3), 250, np.uint8)
    drawing[20:30, 10:70] = 30
    Image.fromarray(drawing).save(sound / "train/ants/lost.png")
    (finding,) = check(sound).findings
    assert finding.kind == "placeholder"
    assert "lost.png (88% one colour)" in str(finding.files)
    for number in range(4):
        shutil.copy(sound / "train/ants/lost.png", sound / f"train/ants/lost{number}.png")
    report = check(sound)
    messages = [each.message for each in report.findings if each.kind == "placeholder"]
    assert any("1 picture stands in the data up to 5 times" in message for message in messages)


def test_things_before_one_background_are_no_placeholders(tmp_path: Path) -> None:
    for number in range(8):
        scene = np.full((60, 80, 3), 255, np.uint8)
        scene[10:30, 10 : 40 + number] = np.asarray(picture(number, 20, 30 + number))
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        Image.fromarray(scene).save(tmp_path / "ab"[number % 2] / f"{number}.png")
    assert "placeholder" not in kinds(check(tmp_path))


def test_files_that_are_left_out_are_named(sound: Path) -> None:
    for name in ("train/ants/DSC1.NEF", "train/ants/clip.MOV", "train/bees/notes.txt", "train/readme.md"):
        (sound / name).write_bytes(b"x")
    (sound / "train/ants/phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60))
    (sound / "train/ants/empty.jpg").write_bytes(b"")
    report = check(sound)
    named = {each.message.split(" left out")[0]: each.files for each in report.findings if each.kind == "left-out"}
    assert [Path(name).name for name in named["2 raw photos or videos are"]] == ["DSC1.NEF", "clip.MOV"]
    assert [Path(name).name for name in named["2 other files are"]] == ["notes.txt", "readme.md"]
    assert [each.kind for each in report.findings][:2] == ["unsupported", "empty"]


def test_a_table_of_classes(sound: Path, make_folder: MakeFolder) -> None:
    lines = check(sound).to_text().splitlines()
    assert [line.split() for line in lines[1:5]] == [
        ["class", "train", "val"],
        ["all", "11", "5"],
        ["ants", "6", "2"],
        ["bees", "5", "3"],
    ]
    many = check(make_folder("many", {f"c{number:02}": 1 + number // 20 for number in range(30)})).to_text()
    assert "(6 classes between)" in many
    assert "c29" in many
