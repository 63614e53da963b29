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
        ("val valid validation Validation dev val_set valset seg_val eval Evaluation eval_set evalset", "val"),
        ("test Testing test_set testset test-images seg_test holdout hold-out held_out holdout_set", "test"),
        ("trains training_day tested unit_test2 vals evaluated hold_on images set cat fold_1 data seg_pred", ""),
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
        assert "beside the class folders of train, in no class and left out: 1 image and 1 other file" in note
        assert "000.jpg" in note
        assert "labels.csv" in note
        assert any("000.jpg" in finding.message for finding in check(root).findings)


@pytest.mark.parametrize(("name", "part"), [("eval", "val"), ("evaluation", "val"), ("holdout", "test")])
def test_a_less_usual_name_gives_way_to_the_usual_one(make_folder: MakeFolder, name: str, part: str) -> None:
    root = make_folder("photos/train", {"a": 8, "b": 8}).parent
    make_folder(f"photos/{name}", {"a": 3, "b": 2})
    dataset = open_dataset(root)
    assert len(dataset.splits[part]) == 5
    assert f"by its name, {name} as {part} was read" in dataset.notes
    make_folder(f"photos/{part}", {"a": 1, "b": 1})
    make_folder("photos/extra", {"c": 1})
    dataset = open_dataset(root)
    assert len(dataset.splits[part]) == 2
    (note,) = (note for note in dataset.notes if "no parts" in note)
    assert note.startswith(f"beside train, {part}: ")
    assert f"{name} (5 images)" in note
    assert "extra (1 image)" in note


def test_folders_one_level_too_high(make_folder: MakeFolder) -> None:
    nested = make_folder("nested/images/train", {"a": 3, "b": 3}).parent
    make_folder("nested/images/val", {"a": 1, "b": 1})
    deep = make_folder("deep/data/inner", {"a": 3, "b": 3})
    for path, inner, folders in ((nested.parent, nested, "train, val"), (deep.parent.parent, deep, "a, b")):
        with pytest.raises(InputError) as error:
            open_dataset(path)
        assert f"{inner} holds the folders {folders}" in error.value.given
        assert f"name the folder {inner}" in str(error.value)
        assert any(f"name the folder {inner}" in finding.message for finding in check(path).findings)
    assert open_dataset(nested).classes == open_dataset(deep).classes == ("a", "b")
    single = make_folder("single", {"a/x": 2, "a/y": 2, "a": 1})
    with pytest.raises(InputError, match="Add a folder for each further class"):
        open_dataset(single)


def test_a_run_is_no_data(make_folder: MakeFolder) -> None:
    run = make_folder("runs/a", {})
    (run / "checkpoints").mkdir(parents=True)
    (run / "model.safetensors").write_bytes(b"")
    (run / "config.json").write_text("{}")
    for use in (open_dataset, check):
        with pytest.raises(InputError, match="is the folder of a run"):
            use(run)
        with pytest.raises(InputError, match=r"holds runs \(a\) but no class folder"):
            use(run.parent)
    text = make_folder("text", {})
    text.mkdir(exist_ok=True)
    (text / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="neither images nor class folders"):
        open_dataset(text)
    (text / "photos.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(InputError, match=r"photos\.tar\.gz, whose single images cannot be read before it is unpacked"):
        open_dataset(text)
