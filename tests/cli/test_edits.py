"""`--set FIELD=VALUE`: what the command edits is what Python edits, in every command that builds a network."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import pytest

import residua
from residua._base.errors import InputError
from residua.cli.app import main
from residua.specs.catalog import get_spec, list_models
from residua.specs.edit_text import edit_words, read_edits
from residua.specs.fields import parsed, written
from residua.training.folder.run_folder import read_origin


@pytest.mark.parametrize("name", list_models())
def test_every_field_of_every_network_can_be_written(name: str) -> None:
    spec = get_spec(name)
    edits = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
    assert read_edits(spec, edit_words(edits)) == edits


@pytest.mark.parametrize(
    ("network", "word", "value"),
    [
        ("resnet18", "shortcut=none", "none"),
        ("resnet18", "depths=3,4,6,3", (3, 4, 6, 3)),
        ("resnet18", "depths=[3, 4, 6, 3]", (3, 4, 6, 3)),
        ("resnet18", "bias=stem,last", ("stem", "last")),
        ("resnet18", "bias=[]", ()),
        ("resnet18", "projection_norm=none", None),
        ("resnet18", "projection_norm=no", False),
        ("resnet18", "bn_eps=1e-3", 1e-3),
    ],
)
def test_a_word_means_a_value(network: str, word: str, value: object) -> None:
    spec = get_spec(network)
    assert read_edits(spec, [word]) == {word.partition("=")[0]: value}


@pytest.mark.parametrize(
    ("text", "levels", "value"),
    [
        ("[[8,8],[9]]", 2, ((8, 8), (9,))),
        ("(8, 8), (9)", 2, ((8, 8), (9,))),
        ("[8],[9]", 2, ((8,), (9,))),
        ("[[8,9]]", 2, ((8, 9),)),
        ("[8,9]", 2, ((8, 9),)),
        ("[]", 2, ()),
        ("[[256,64,1],[256,64,3]]", 3, (((256, 64, 1), (256, 64, 3)),)),
        ("[[[1],[2]],[[3]]]", 3, (((1,), (2,)), ((3,),))),
    ],
)
def test_lists_inside_lists(text: str, levels: int, value: object) -> None:
    kind: Any = int
    for _ in range(levels):
        kind = tuple[kind, ...]
    assert parsed("field", text, kind) == value
    assert parsed("field", written(value), kind) == value


@pytest.mark.parametrize("text", ["8,9", "[8,9],9", "[8,[9]]", "[8,9", "[8],9]", "[[8],[9]"])
def test_lists_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="a list of"):
        parsed("field", text, tuple[tuple[int, ...], ...])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("shortcut=nono", r"'none', 'pad', .*Did you mean none"),
        ("shortcuts=none", r"one of its fields: .*shortcut.*Did you mean shortcut"),
        ("depths=3,x", "a list of whole numbers"),
        ("depths=[3,4", "a list of whole numbers"),
        ("depths=3]", "a list of whole numbers"),
        ("depths=", "depths"),
        ("depths", "FIELD=VALUE"),
        ("cardinality=3.5", "a whole number"),
        ("growth=12", "a family that has it"),
    ],
)
def test_an_error_names_what_is_legal(word: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_edits(get_spec("resnet18"), [word])
    assert main(["inspect", "resnet18", "--set", word]) == 2


def test_one_value_for_each_field() -> None:
    with pytest.raises(InputError, match="depths edited twice"):
        read_edits(get_spec("resnet18"), ["depths=1,1,1,1", "depths=2,2,2,2"])


def test_train_records_edits_as_python_does(tmp_path: Path) -> None:
    common = ["--epochs", "1", "--train-images", "20", "--measure-train", "0"]
    command = ["train", "digits", "--model", "cifar_resnet8", "--out"]
    assert main([*command, str(tmp_path / "a"), *common, "--set", "shortcut=none,bias=stem,last"]) == 0
    python = residua.train(
        "digits",
        "cifar_resnet8",
        out=tmp_path / "b",
        epochs=1,
        train_images=20,
        model_edits={"shortcut": "none", "bias": ("stem", "last")},
        progress=False,
    )
    ours = residua.load(tmp_path / "a")
    assert ours.spec == python.spec
    assert ours.spec.shortcut == "none"  # type: ignore[attr-defined]
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
    head = (tmp_path / "a/recipe.toml").read_text()
    printed = next(line for line in head.splitlines() if line.startswith("# residua train"))
    again = shlex.split(printed.removeprefix("# residua ").replace("ANOTHER", str(tmp_path / "c")))
    again[again.index("recipe.toml")] = str(tmp_path / "a/recipe.toml")
    assert main(again) == 0
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "c/model.safetensors").read_bytes()
    origin = read_origin(tmp_path / "c")
    assert origin is not None
    assert origin.spec.shortcut == "none"  # type: ignore[attr-defined]


def test_the_data_decides_how_many_classes_a_training_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "digits", "--model", "cifar_resnet8", "--set", "num_classes=7", "--out", str(tmp_path / "run")]
    assert main(words) == 2
    assert "as many classes as the data has" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
