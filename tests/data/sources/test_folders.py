"""Folders: what is found, and each way in which a folder can be unusable."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from data.pictures import MakeFolder
from residua._base.errors import InputError
from residua.data.open import open_dataset, reopen


def refused(data: Path | str, *wanted: str, **options: object) -> InputError:
    """Open, expect an error that holds all of `wanted`, and return it."""
    with pytest.raises(InputError) as caught:
        open_dataset(data, **options)
    for each in wanted:
        assert each in str(caught.value)
    assert caught.value.given
    assert caught.value.wanted
    assert caught.value.remedy
    assert caught.value.exit_code == 2
    return caught.value


def test_class_folders(make_folder: MakeFolder) -> None:
    path = make_folder("photos", {"cats": 20, "ants": 10, "bees": 5})
    dataset = open_dataset(path)
    assert dataset.classes == ("ants", "bees", "cats")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 31, "val": 4}
    for split in dataset.splits.values():
        for file, label in zip(split.images.files, split.labels, strict=True):
            assert file.parent.name == dataset.classes[label]
    together = [file for split in dataset.splits.values() for file in split.images.files]
    assert sorted(together) == sorted(path.rglob("*.jpg"))
    assert any("seed 0" in note for note in dataset.notes)
    assert dataset.held_out == "val"


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_a_given_validation_part_is_used(make_folder: MakeFolder, name: str) -> None:
    path = make_folder("photos/train", {"a": 4, "b": 4}).parent
    make_folder(f"photos/{name}", {"a": 2, "b": 1})
    dataset = open_dataset(path, val_fraction=0.5)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 8, "val": 3}
    assert dataset.notes == ()


def test_a_test_part_is_kept_apart_from_the_validation_part(make_folder: MakeFolder) -> None:
    path = make_folder("photos/train", {"a": 10, "b": 10}).parent
    make_folder("photos/test", {"a": 2, "b": 3})
    dataset = open_dataset(path)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 18, "val": 2, "test": 5}
    assert dataset.held_out == "test"
    assert list(open_dataset(path, val_fraction=0).splits) == ["train", "test"]


def test_a_class_may_be_called_train(make_folder: MakeFolder) -> None:
    assert open_dataset(make_folder("rides", {"bus": 3, "car": 3, "train": 3})).classes == ("bus", "car", "train")


def test_folders_beside_the_parts_are_named(make_folder: MakeFolder) -> None:
    path = make_folder("photos/train", {"a": 4, "b": 4}).parent
    make_folder("photos", {"cars": 2, "dogs": 2, ".git": 1})
    dataset = open_dataset(path)
    assert dataset.classes == ("a", "b")
    assert any("cars (2 images), dogs (2 images)" in note for note in dataset.notes)


def test_nested_and_hidden_files(make_folder: MakeFolder, tmp_path: Path) -> None:
    path = make_folder("photos", {"a": 2, "a/deep/er": 2, "b": 2, "b/.thumbnails": 3, ".git": 1})
    (path / "a" / "notes.txt").write_text("hello")
    (path / "a" / ".DS_Store").write_text("hello")
    dataset = open_dataset(path, val_fraction=0)
    assert np.bincount(dataset.splits["train"].labels).tolist() == [4, 2]
    assert dataset.notes == (
        "1 file is no image by its ending: 1 .txt (such as notes.txt)",
        "left by systems or tools, and no data: .git/, .DS_Store, .thumbnails/",
    )


def test_links_are_followed(make_folder: MakeFolder, tmp_path: Path) -> None:
    path = make_folder("photos", {"a": 2, "b": 2})
    make_folder("elsewhere", {"c": 3})
    (path / "c").symlink_to(tmp_path / "elsewhere" / "c")
    assert open_dataset(path, val_fraction=0).classes == ("a", "b", "c")


def test_the_same_arguments_give_the_same_split(make_folder: MakeFolder) -> None:
    path = make_folder("photos", {"a": 20, "b": 20})
    first, again, other = (open_dataset(path, seed=seed) for seed in (1, 1, 2))
    assert first.splits["val"].images.files == again.splits["val"].images.files
    assert first.splits["val"].images.files != other.splits["val"].images.files
    assert reopen(first.describe(full=True)).splits["val"].images.files == first.splits["val"].images.files


def test_reopening_changed_data_is_refused(make_folder: MakeFolder) -> None:
    path = make_folder("photos", {"a": 5, "b": 5})
    described = open_dataset(path).describe(full=True)
    make_folder("photos", {"b": 6})
    with pytest.raises(InputError, match="has changed"):
        reopen(described)


def test_a_moved_folder_keeps_its_hash(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_folder("photos", {"a": 5, "b": 5})
    before = open_dataset(path)
    path.rename(path.with_name("pictures"))
    assert open_dataset(path.with_name("pictures")).hash == before.hash
    monkeypatch.chdir(path.with_name("pictures"))
    assert open_dataset(".").hash == before.hash


def test_missing_folder(tmp_path: Path) -> None:
    refused(tmp_path / "gone", "gone", "a folder of class folders")
    assert "digits" in refused("digit", "'digit'").remedy


def test_file_instead_of_folder(make_folder: MakeFolder) -> None:
    refused(make_folder("photos", {"a": 1}) / "a" / "000.jpg", "is a file")


def test_empty_folder(tmp_path: Path) -> None:
    refused(tmp_path, "is empty")


def test_images_without_class_folders(make_folder: MakeFolder) -> None:
    refused(make_folder("photos", {".": 3}), "3 images but no class folder")


def test_one_class(make_folder: MakeFolder) -> None:
    refused(make_folder("photos", {"only": 3}), "one class, only")


def test_empty_class_folder(make_folder: MakeFolder) -> None:
    refused(make_folder("photos", {"a": 3, "b": 0, "c": 2, "d": 0}), "class folders b, d")


def test_class_folder_with_text_only(make_folder: MakeFolder) -> None:
    path = make_folder("photos", {"a": 3, "b": 0})
    (path / "b" / "readme.txt").write_text("no image")
    refused(path, "class folder b of train")


def test_different_classes_in_train_and_val(make_folder: MakeFolder) -> None:
    path = make_folder("photos/train", {"a": 2, "b": 2, "c": 2}).parent
    make_folder("photos/val", {"a": 2, "x": 2, "y": 2})
    refused(path, "only in train: b, c", "only in val: x, y")


def test_parts_without_train(make_folder: MakeFolder) -> None:
    path = make_folder("photos/val", {"a": 2, "b": 2}).parent
    make_folder("photos/test", {"a": 2, "b": 2})
    refused(path, "test, val but no train")


def test_two_validation_parts(make_folder: MakeFolder) -> None:
    for name in ("train", "val", "valid"):
        path = make_folder(f"photos/{name}", {"a": 2, "b": 2}).parent
    refused(path, "both val and valid")


def test_a_loop_of_links(make_folder: MakeFolder) -> None:
    path = make_folder("photos", {"a": 2, "b": 2})
    (path / "a" / "again").symlink_to(path)
    refused(path, "again", "link to a folder that contains it")


def test_a_link_to_itself(make_folder: MakeFolder) -> None:
    path = make_folder("photos", {"a": 2, "b": 2})
    (path / "a" / "self.jpg").symlink_to(path / "a" / "self.jpg")
    refused(path, "self.jpg")


def test_a_broken_link_is_refused_or_skipped(make_folder: MakeFolder) -> None:
    path = make_folder("photos", {"a": 2, "b": 2})
    (path / "a" / "broken.jpg").symlink_to(path / "gone.jpg")
    os.mkfifo(path / "b" / "pipe.png")
    refused(path, "2 files", "broken.jpg (a broken link)", "pipe.png (a named pipe)")
    dataset = open_dataset(path, on_bad="skip", val_fraction=0)
    assert len(dataset.splits["train"]) == 4
    assert "broken.jpg" in dataset.notes[0]


def test_a_folder_without_permission(make_folder: MakeFolder, tmp_path: Path) -> None:
    path = make_folder("photos", {"a": 2, "b": 2})
    (path / "b").chmod(0)
    if os.geteuid() != 0:
        refused(path, "cannot be listed (Permission denied)")
    else:
        above = Path(tempfile.gettempdir()).resolve()
        for folder in [tmp_path, *tmp_path.parents]:
            if above in folder.resolve().parents:
                folder.chmod(0o755)
        code = (
            "import os, sys; from residua.data.open import open_dataset\n"
            "os.setgid(65534); os.setuid(65534)\n"
            "try: open_dataset(sys.argv[1])\n"
            "except ValueError as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        assert "b cannot be listed (Permission denied)" in done.stdout
    (path / "b").chmod(0o755)


def test_bad_arguments(make_folder: MakeFolder) -> None:
    path = make_folder("photos", {"a": 2, "b": 2})
    refused(path, "val_fraction=1.0", val_fraction=1.0)
    refused(path, "val_fraction=-0.1", val_fraction=-0.1)
    refused(make_folder("lonely", {"a": 1, "b": 1}), "none of which can be spared")


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    for name in (b"a", b"\xff"):
        folder = tmp_path / os.fsdecode(name)
        folder.mkdir()
        (folder / os.fsdecode(b"\xfe.png")).write_bytes(b"unread")
    dataset = open_dataset(tmp_path, val_fraction=0.0)
    assert dataset.classes == ("a", os.fsdecode(b"\xff"))
    assert len(reopen(dataset.describe(full=True)).splits["train"]) == 2


@pytest.mark.parametrize("held", ["flat", "unknown", "nothing"])
def test_a_test_part_without_labels_is_left_out_and_named(make_folder: MakeFolder, held: str) -> None:
    path = make_folder("photos/train", {"a": 9, "b": 9}).parent
    make_folder("photos/test", {"flat": {".": 5}, "unknown": {"unknown": 5}, "nothing": {"a": 0}}[held])
    dataset = open_dataset(path)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 16, "val": 2}
    sentence = {"flat": "test holds 5 images without class folders", "unknown": "no class of train but unknown"}
    assert sentence.get(held, "test holds no images") in dataset.notes[0]
    assert dataset.held_out == "val"


def test_a_validation_part_without_labels_is_drawn_from_train(make_folder: MakeFolder) -> None:
    path = make_folder("photos/train", {"a": 9, "b": 9}).parent
    make_folder("photos/val", {".": 5})
    dataset = open_dataset(path)
    assert len(dataset.splits["val"]) == 2
    assert any("val holds 5 images without class folders" in note for note in dataset.notes)


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_part_may_lack_a_rare_class(make_folder: MakeFolder, part: str) -> None:
    path = make_folder("photos/train", {"a": 4, "b": 4, "c": 2}).parent
    make_folder(f"photos/{part}", {"a": 3, "b": 0, "c": 1})
    dataset = open_dataset(path)
    assert dataset.classes == ("a", "b", "c")
    assert dataset.splits[part].labels.tolist() == [0, 0, 0, 2]
    assert f"{part} has no images of b" in dataset.notes
    assert reopen(dataset.describe(full=True)).hash == dataset.hash


def test_data_to_judge_a_run_on_may_be_partial(make_folder: MakeFolder) -> None:
    path = make_folder("photos", {"a": 4, "b": 0})
    refused(path, "no images in the class folder b")
    dataset = open_dataset(path, partial=True, val_fraction=0)
    assert (dataset.classes, len(dataset.splits["train"])) == (("a",), 4)
    assert "no images of b" in dataset.notes
    refused(make_folder("void", {"a": 0, "b": 0}), "no images", partial=True)


def test_classes_that_differ_in_unicode_form_only(make_folder: MakeFolder) -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    path = make_folder("photos/train", {"a": 2, composed: 2}).parent
    make_folder("photos/val", {"a": 2, apart: 2})
    refused(path, "Unicode normal form only", r"caf\xe9", r"cafe\u0301")
    refused(make_folder("both", {composed: 2, apart: 2}), "Unicode normal form only")


def test_a_run_inside_the_data_is_no_class(make_folder: MakeFolder) -> None:
    path = make_folder("photos", {"a": 5, "b": 5})
    before = open_dataset(path)
    for name, content in (("runs/a", ".lock"), ("runs/old", "model.safetensors"), ("b/own", "checkpoints/origin.json")):
        file = path / name / content
        file.parent.mkdir(parents=True)
        file.touch()
    (path / "runs/a/maps.png").symlink_to(path / "a/000.jpg")
    (path / "runs/a/maps.png").unlink()
    dataset = open_dataset(path)
    assert (dataset.classes, dataset.hash) == (before.classes, before.hash)
    (note,) = (note for note in dataset.notes if "written by training" in note)
    for name in ("runs/a", "runs/old", "b/own"):
        assert str(path / name) in note


def test_an_empty_folder_that_is_no_run_is_still_refused(make_folder: MakeFolder) -> None:
    path = make_folder("photos", {"a": 5, "b": 5, "c/d": 0})
    (path / "c/d/.hidden").touch()
    refused(path, "class folder c of train")


def test_fewer_training_images_than_classes_are_refused(make_folder: MakeFolder) -> None:
    path = make_folder("photos", {"a": 9, "b": 9, "c": 9})
    refused(path, "train_images=2", "each of the 3 classes", train_images=2)
    dataset = open_dataset(path, train_images=3)
    assert np.bincount(dataset.splits["train"].labels).tolist() == [1, 1, 1]
