"""Parts by the names that people give them, and folders that are mixed up."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.pictures import MakeFolder
from residua._base.errors import InputError
from residua.data.doctor.check import check
from residua.data.open import open_dataset
from residua.data.sources.parts import part_named


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (
            "train Train TRAINING trn train_set training-set trainset seg_train Train_Images train_data traindata",
            "train",
        ),
        ("val valid validation Validation dev val_set valset seg_val", "val"),
        ("test Testing test_set testset test-images seg_test", "test"),
        ("trains training_day tested unit_test2 vals evaluation images set cat fold_1 data seg_pred", ""),
    ],
)
def test_names_of_parts(names: str, part: str) -> None:
    for name in names.split():
        assert part_named(name) == part, name
    assert part_named("train images") == "train"


@pytest.mark.parametrize(
    ("train", "test"),
    [("Training", "Testing"), ("seg_train/seg_train", "seg_test/seg_test"), ("training_set", "test_set")],
)
def test_parts_with_other_names_are_read_and_named(make_folder: MakeFolder, train: str, test: str) -> None:
    path = make_folder(f"photos/{train}", {"a": 8, "b": 8})
    make_folder(f"photos/{test}", {"a": 3, "b": 2})
    root = path.parents[len(Path(train).parts) - 1]
    dataset = open_dataset(root)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 14, "val": 2, "test": 5}
    assert dataset.classes == ("a", "b")
    outer = train.split("/")[0]
    assert any(f"{outer} as train" in note for note in dataset.notes)
    assert any(f"{outer} as train" in finding.message for finding in check(root).findings)


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (("fold_1", "fold_2", "fold_3"), ("cat", "dog", "owl")),
        (("split1", "split2"), ("cat", "dog")),
        (("cat", "dog"), ("train", "test")),
        (("cat", "dog"), ("Training", "val")),
        (("old", "train_2"), ("cat", "dog")),
        (("a_test", "b_test"), ("x", "y")),
    ],
)
def test_parts_and_classes_that_are_mixed_up(make_folder: MakeFolder, outer: object, inner: object) -> None:
    for one in outer:
        path = make_folder(f"photos/{one}", dict.fromkeys(inner, 2)).parent
    certain = outer not in (("old", "train_2"), ("a_test", "b_test"))
    if certain:
        with pytest.raises(InputError, match="mixed up") as error:
            open_dataset(path)
        for name in (*outer, *inner):
            assert name in str(error.value)
    else:
        # Such names may be those of classes: training goes on, and the doubt is stated.
        (note,) = (note for note in open_dataset(path).notes if "taken for the classes" in note)
        assert all(name in note for name in (*outer, *inner))
    report = check(path)
    assert not report.ok
    assert any(finding.kind == "layout" and outer[0] in finding.message for finding in report.findings)


def test_a_rare_class_missing_from_a_fold_changes_nothing(make_folder: MakeFolder) -> None:
    path = make_folder("photos/fold_1", {"cat": 2, "dog": 2, "owl": 1}).parent
    make_folder("photos/fold_2", {"cat": 2, "dog": 2})
    with pytest.raises(InputError, match="mixed up"):
        open_dataset(path)


def test_sub_folders_of_classes_are_no_parts(make_folder: MakeFolder) -> None:
    path = make_folder("photos", {"cat/kittens": 2, "cat/adult": 2, "dog/puppies": 3, "dog/big": 1})
    assert open_dataset(path).classes == ("cat", "dog")
    assert check(path).ok
    # With images of its own a folder is a class.
    own = make_folder("own", {"cat": 1, "cat/day": 2, "cat/night": 2, "dog": 1, "dog/day": 2, "dog/night": 2})
    assert check(own).ok
    assert not any("taken for" in note for note in open_dataset(own).notes)


def test_images_beside_class_folders_are_named(make_folder: MakeFolder) -> None:
    for name, part in (("photos", "photos"), ("parts", "parts/train")):
        path = make_folder(part, {"a": 4, "b": 4, ".": 1})
        (path / "labels.csv").write_text("x")
        root = path.parent if name == "parts" else path
        (note,) = open_dataset(root, val_fraction=0).notes
        assert "beside the class folders of train, in no class and left out: 1 images and 1 other files" in note
        assert "000.jpg" in note
        assert "labels.csv" in note
        assert any("000.jpg" in finding.message for finding in check(root).findings)
