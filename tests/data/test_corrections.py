"""Corrections of labels: what a file may hold, what they do to data, and that every unusable row is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.pictures import MakeFolder
from residua._base.errors import InputError
from residua.data.corrections import Corrections, read_corrections
from residua.data.dataset import Dataset
from residua.data.open import open_dataset, reopen


def table(folder: Path, text: str) -> Path:
    path = folder / "corrections.csv"
    path.write_text(text)
    return path


def labelled(dataset: Dataset) -> dict[str, str]:
    return {
        dataset.image_name(split, index): dataset.classes[split.labels[index]]
        for split in dataset.splits.values()
        for index in range(len(split))
    }


@pytest.mark.parametrize("form", ["path,label\n{}", "\ufeffpath;label;note\n{}", "label\tpath\n{}"], ids=repr)
def test_the_usual_forms_are_read(form: str, tmp_path: Path) -> None:
    text = form.format("a/1.jpg,b,x\n\nb/2.jpg,,\n")
    text = text.replace(",", ";") if ";" in form else text
    text = "label\tpath\nb\ta/1.jpg\n\tb/2.jpg\n" if "\t" in form else text
    read = read_corrections(table(tmp_path, text))
    assert read.labels == {"a/1.jpg": "b", "b/2.jpg": ""}
    assert read.lines["a/1.jpg"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path\na\n", "columns path"),
        ("", "columns none"),
        (
            "path,label\na,x\na,y\n,x\nb\n",
            r"line 3 gives a another label than line 2, line 4 has no path, line 5 \(b\)",
        ),
    ],
    ids=repr,
)
def test_unusable_rows_are_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        read_corrections(table(tmp_path, text))
    with pytest.raises(InputError, match=r"nothing\.csv"):
        read_corrections(tmp_path / "nothing.csv")


def test_a_label_changes_an_image_goes_and_the_parts_stay(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder("photos", {"ants": 10, "bees": 10})
    plain = open_dataset(folder, val_fraction=0.3)
    ours = Corrections({"ants/003.jpg": "bees", "bees/000.jpg": "", "bees/001.jpg": "bees"})
    corrected = open_dataset(folder, val_fraction=0.3, corrections=ours)
    assert corrected.hash != plain.hash
    assert corrected.notes[-1] == "1 label was corrected, 1 image was left out, as corrections state"
    before, after = labelled(plain), labelled(corrected)
    assert {name: label for name, label in before.items() if after.get(name) != label} == {
        "ants/003.jpg": "ants",
        "bees/000.jpg": "bees",
    }
    assert after["ants/003.jpg"] == "bees"
    assert "bees/000.jpg" not in after
    for part, split in plain.splits.items():
        kept = {plain.image_name(split, index) for index in range(len(split))} - {"bees/000.jpg"}
        other = corrected.splits[part]
        assert kept == {corrected.image_name(other, index) for index in range(len(other))}
    assert labelled(reopen(corrected.describe(full=True))) == after
    assert open_dataset(folder, val_fraction=0.3, corrections=Corrections({})).hash == plain.hash


def test_images_of_arrays_are_named_by_their_place_in_the_source() -> None:
    whole, drawn = open_dataset("digits", val_fraction=0), open_dataset("digits", val_fraction=0.2, seed=3)
    assert labelled(whole) == labelled(drawn)
    assert len(labelled(whole)) == 1797
    val = drawn.splits["val"]
    name = drawn.image_name(val, 5)
    corrected = open_dataset("digits", val_fraction=0.2, seed=3, corrections=Corrections({name: "7"}))
    changed = np.flatnonzero(corrected.splits["val"].labels != val.labels)
    assert changed.tolist() == ([5] if val.labels[5] != 7 else [])
    assert corrected.splits["val"].labels[5] == 7


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"ants/0.jpg": "bees"}, r"line 2 \(ants/0.jpg\)"),
        ({"ants/000.jpg": "bee"}, r"line 2 \(ants/000.jpg\) to 'bee'.*bees"),
        ({f"ants/{number:03d}.jpg": "bees" for number in range(10)}, "no training image of ants"),
    ],
    ids=["absent", "class", "lost"],
)
def test_what_does_not_fit_is_refused(
    labels: dict[str, str], message: str, make_folder: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_folder("photos", {"ants": 10, "bees": 10})
    rows = "".join(f"{name},{label}\n" for name, label in labels.items())
    with pytest.raises(InputError, match=message):
        open_dataset(folder, corrections=read_corrections(table(tmp_path, f"path,label\n{rows}")))


def test_rows_that_do_not_fit_are_named_at_once(make_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_folder("photos", {"ants": 10, "bees": 10})
    corrections = read_corrections(table(tmp_path, "path,label\nants/003.jpg,beees\nnowhere.jpg,ants\n"))
    with pytest.raises(InputError) as caught:
        open_dataset(folder, corrections=corrections)
    assert "line 2 (ants/003.jpg) to 'beees'; 1 image that is not in" in caught.value.given
    assert "line 3 (nowhere.jpg)" in caught.value.given
    assert caught.value.remedy.startswith("Did you mean bees? Take the file")
