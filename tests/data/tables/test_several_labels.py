"""A table that states several labels an image: which rows it takes, how it is split, what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.pictures import picture
from residua._base.errors import InputError
from residua.data.augment import Augment
from residua.data.doctor.check import check
from residua.data.open import open_dataset, reopen
from residua.data.splitting import balanced, held_out
from residua.data.tables.iterative import allot_images, stratify_images
from residua.data.tables.label_table import label_table
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import default_preprocess

LABELS = ["a;b", "a", "b;c", "", "c", "a;b;c", "b", "a; c", "", "c;a", "b", "a;b"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """PHOTOS with 12 pictures, and labels.csv with the labels above."""
    (tmp_path / "PHOTOS").mkdir()
    lines = ["path,label"]
    for number, label in enumerate(LABELS):
        picture(number).save(tmp_path / "PHOTOS" / f"{number:02}.png")
        lines.append(f"{number:02},{label}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path


def test_labels_become_columns_of_0_and_1(photos: Path) -> None:
    dataset = open_dataset(photos / "PHOTOS", labels=photos / "labels.csv", val_fraction=0)
    assert dataset.classes == ("a", "b", "c")
    expected = [[int(name in label) for name in "abc"] for label in LABELS]
    assert dataset.splits["train"].labels.tolist() == expected
    assert dataset.describe()["class_counts"] == {"train": [6, 6, 5]}
    assert dataset.describe()["multilabel"] is True
    assert "labels.csv states several labels an image: 1.42 on average, 2 of them none" in dataset.notes
    assert reopen(dataset.describe(full=True)).hash == dataset.hash
    single = photos / "single.csv"
    single.write_text("path,label\n00,a\n01,b\n")
    one = open_dataset(photos / "PHOTOS", labels=single, val_fraction=0)
    assert one.splits["train"].labels.tolist() == [0, 1]
    assert "multilabel" not in one.describe()


def test_a_column_per_label_states_the_same(photos: Path) -> None:
    lines = ["path,a,b,c,note"]
    for number, label in enumerate(LABELS):
        lines.append(",".join([f"{number:02}", *("1" if name in label else "0" for name in "abc"), "x"]))
    (photos / "columns.csv").write_text("\n".join(lines))
    columns = open_dataset(photos / "PHOTOS", labels=photos / "columns.csv", columns="labels=a;b;c", val_fraction=0)
    texts = open_dataset(photos / "PHOTOS", labels=photos / "labels.csv", val_fraction=0)
    assert columns.hash == texts.hash
    assert np.array_equal(columns.splits["train"].labels, texts.splits["train"].labels)
    assert label_table("columns.csv", {"labels": "a;b"}).to_dict()["labels"] == "a;b"


def test_a_column_may_hold_fractions_and_words(photos: Path) -> None:
    (photos / "t.csv").write_text("path,a,b\n00,1.0,False\n01,0.0,TRUE\n02,1,0\n")
    dataset = open_dataset(photos / "PHOTOS", labels=photos / "t.csv", columns="labels=a;b", val_fraction=0)
    assert dataset.splits["train"].labels.tolist() == [[1, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("text", "columns", "reason"),
    [
        ("path,a,b\n00,1,2\n", "labels=a;b", r"row 2 \(b: '2'\)"),
        ("path,a,b\n00,1,\n01,0,1\n", "labels=a;b", r"row 2 \(b: empty\)"),
        ("path,a,b\n00,1,yes\n01,0,1\n", "labels=a;b", r"row 2 \(b: 'yes'\)"),
        ("path,x,a,b\n00,7,1,\n01,3,0.0,true\n", "", "or a column of 0 and 1 per label. .*columns='labels=a;b'"),
        ("path,x,a,b\n00,7,1,4\n01,3,0,1\n", "", "columns='label=NAME'"),
        ("path,a,b\n00,1,0\n01,1,0\n", "labels=a;b", "no training image has b"),
        ("path,a,b\n00,1,0\n", "labels=a;d", "labels=d"),
        ("path,a,b\n00,1,0\n", "labels=a;a", "a twice"),
        ("path,a,b\n00,1,0\n", "labels=a;b,label=a", "one column of labels, or a column per label"),
        ("path,label\n00,a;a\n01,a;\n", "", "every training image is a"),
        ("path,label\n00,;\n01,\n", "", "no training image has a label"),
        ("path,label,split\n00,a;b,train\n01,a;d,test\n", "", r"1 row of test with classes that train lacks: row 3"),
        ("path,label\n00,a;b\n00,a\n", "", "image has rows that differ"),
    ],
)
def test_what_is_wrong_is_named_by_row(text: str, columns: str, reason: str, photos: Path) -> None:
    (photos / "bad.csv").write_text(text)
    with pytest.raises(InputError, match=reason):
        open_dataset(photos / "PHOTOS", labels=photos / "bad.csv", columns=columns or None, val_fraction=0)


def many(count: int = 400, seed: int = 0) -> np.ndarray:
    """Draw labels of which some are rare, and some images without any."""
    random = np.random.default_rng(seed)
    return (random.random((count, 5)) < [0.5, 0.3, 0.1, 0.05, 0.01]).astype(np.int64)


@pytest.mark.parametrize("seed", [0, 1])
def test_each_label_has_its_share_of_every_part(seed: int) -> None:
    labels = many(seed=seed)
    kept, held = stratify_images(labels, 0.2, seed)
    assert sorted([*kept.tolist(), *held.tolist()]) == list(range(400))
    assert abs(labels[held].sum(axis=0) - 0.2 * labels.sum(axis=0)).max() <= 3
    assert abs((~labels[held].any(axis=1)).sum() - 0.2 * (~labels.any(axis=1)).sum()) <= 3
    assert labels[kept].any(axis=0).all()
    again = held_out(labels, None, 0.2, seed)
    assert np.array_equal(again[1], held)
    assert not np.array_equal(stratify_images(labels, 0.2, seed + 1)[1], held)
    parts = allot_images(labels, np.full(4, 0.25), seed)
    table = np.stack([labels[parts == part].sum(axis=0) for part in range(4)])
    assert (table.max(axis=0) - table.min(axis=0)).max() <= 4
    # A random draw leaves the rare labels less even.
    assert len(balanced(labels, 100, seed)) <= 100


def test_a_label_of_one_image_stays_in_training() -> None:
    labels = np.array([[1, 0], [1, 0], [1, 1], [1, 0], [0, 0]])
    for seed in range(5):
        kept, held = stratify_images(labels, 0.5, seed)
        assert labels[kept].any(axis=0).all()
        assert len(held)


def test_fewer_training_images_keep_every_label(photos: Path) -> None:
    arguments = {"labels": photos / "labels.csv", "val_fraction": 0}
    fewer = open_dataset(photos / "PHOTOS", train_images=8, **arguments)
    assert 4 <= len(fewer.splits["train"]) <= 8
    assert fewer.splits["train"].labels.any(axis=0).all()
    with pytest.raises(InputError, match="at least one image of each"):
        open_dataset(photos / "PHOTOS", train_images=1, **arguments)


def test_groups_stay_together(photos: Path) -> None:
    labels, groups = many(), np.arange(400) // 4
    kept, held = held_out(labels, groups, 0.25, 0)
    assert not set(groups[kept]) & set(groups[held])
    assert abs(labels[held].sum(axis=0)[:3] / labels.sum(axis=0)[:3] - 0.25).max() < 0.08


@pytest.mark.parametrize("size", [2, 4, 20])
def test_groups_hold_the_stated_share_of_images_with_and_without_labels(size: int) -> None:
    labels = (np.random.default_rng(0).random((400, 2)) < [0.5, 0.3]).astype(np.int64)
    unlabelled = ~labels.any(axis=1)
    _, held = held_out(labels, np.arange(400) // size, 0.1, 0)
    assert len(held) == 40
    assert unlabelled[held].sum() == pytest.approx(0.1 * unlabelled.sum(), abs=1)
    assert labels[held].sum(axis=0) == pytest.approx(0.1 * labels.sum(axis=0), abs=2)


def test_the_note_states_the_share_that_groups_allow(photos: Path) -> None:
    lines = (photos / "labels.csv").read_text().splitlines()
    rows = [f"{line},{number // 4}" for number, line in enumerate(lines[1:])]
    (photos / "grouped.csv").write_text("\n".join([f"{lines[0]},group", *rows]))
    dataset = open_dataset(photos / "PHOTOS", labels=photos / "grouped.csv", val_fraction=0.1)
    assert len(dataset.splits["val"]) == 4
    assert any("4 of the 12 training images (33% for val_fraction 10%, whole groups" in n for n in dataset.notes)


def test_mixed_images_have_the_labels_of_both() -> None:
    augment = Augment(AugmentSpec(mixup=1.0, flip=False), 3, default_preprocess(8))
    torch = pytest.importorskip("torch")
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    labels = torch.tensor([[1, 1, 0], [0, 1, 0]])
    _, mixed = augment(images, labels, np.arange(2), 0, 0)
    assert mixed[:, 1].tolist() == [1.0, 1.0]
    assert 0 < float(mixed[0, 0]) < 1
    assert float(mixed[0, 2]) == 0


def test_the_doctor_counts_each_label(photos: Path) -> None:
    report = check(photos / "PHOTOS", labels=photos / "labels.csv", workers=1)
    assert report.counts == {"train": {"a": 6, "b": 6, "c": 5}}
    assert "12 images, 3 labels, several an image" in report.to_text()
    assert report.multilabel
    assert not [each for each in report.findings if "lways answering" in each.message]
