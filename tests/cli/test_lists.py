"""Lists on the command line: commas, repeated options and both, for every list option of every command."""

from __future__ import annotations

from collections import ChainMap
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from residua._base.errors import InputError
from residua.cli.app import build_app, main
from residua.cli.lists import EDITS, is_list, length, plain_hint, spread

APP = build_app()
NEEDED = {"train": ["digits", "--out", "x"], "evaluate": ["a"], "compare": ["a", "b"], "convert": ["f", "--out", "x"]}
NEEDED |= {"sweep": ["digits"], "track": ["replay", "a"]}
NEEDED |= {"inspect": ["resnet18"], "diff": ["resnet18"], "explain": ["a"], "predict": ["a"], "check": ["digits"]}
LISTS = [
    (command, next(name for name in argument.names if name.startswith("--")), plain_hint(argument.hint))
    for command in APP
    if not command.startswith("-")
    for argument in APP[command].assemble_argument_collection()
    if is_list(argument.hint) and any(name.startswith("--") for name in argument.names)
]


def parsed(*words: str) -> dict[str, Any]:
    _, bound, _ = APP.parse_args(spread(APP, words), exit_on_error=False, print_error=False)
    groups = [vars(value) for value in bound.arguments.values() if is_dataclass(value)]
    return bound.arguments | bound.arguments.get("fields", {}) | dict(ChainMap(*groups))


def _entries(hint: Any, flag: str) -> tuple[list[str], tuple[Any, ...]]:
    kind = get_args(hint)[0]
    if get_origin(kind) is Literal:
        words = list(get_args(kind)[:2])
    else:
        words = ["shortcut=none", "depths=3,4"] if flag == EDITS else ["3", "5"]
    return words, tuple(words if get_origin(kind) is Literal else map(kind, words))


def test_every_command_is_looked_at() -> None:
    assert {"train", "evaluate", "study", "verify", "bench", "convert", "compare"} <= {row[0] for row in LISTS}
    assert len(LISTS) >= 20


@pytest.mark.parametrize(("command", "flag", "hint"), LISTS, ids=lambda value: str(value) if value else "")
def test_commas_and_repetition_mean_the_same(command: str, flag: str, hint: Any) -> None:
    words, wanted = _entries(hint, flag)
    base = [command, *NEEDED.get(command, [])]
    first, second = words
    forms = [[flag, f"{first},{second}"], [f"{flag}={first},{second}"], [flag, first, flag, second]]
    forms += [[flag, first, f"{flag}={second}"], [flag, f" {first}, {second}"]]
    if length(hint):
        forms.append([flag, first, second])
    else:
        three = parsed(*base, flag, f"{first},{second}", flag, first)
        assert wanted + wanted[:1] in three.values()
    for form in forms:
        assert wanted in parsed(*base, *form).values(), form


def test_the_milestones_that_a_message_recommends() -> None:
    found = parsed("train", "digits", "--out", "x", "--milestones", "60,120", "--gamma", "0.2", "--scale", "0.25,1.0")
    assert found["milestones"] == (60, 120)
    assert found["gamma"] == (0.2,)
    assert parsed("train", "digits", "--out", "x", "--milestones", "[60, 120]")["milestones"] == (60, 120)
    assert found["scale"] == (0.25, 1.0)
    assert parsed("train", "digits", "--out", "x", "--milestone_steps", "6,12")["milestone_steps"] == (6, 12)
    assert parsed("train", "digits", "--out", "x", "--no-milestones")["milestones"] == ()


def test_a_comma_of_an_entry(tmp_path: Path) -> None:
    with_comma = tmp_path / "a,b"
    assert parsed("study", "lesion", "digits", "--run", r"x\,y,z")["run"] == (Path("x,y"), Path("z"))
    assert parsed("study", "lesion", "digits", "--run", str(with_comma))["run"] == (tmp_path / "a", Path("b"))
    with_comma.mkdir()
    assert parsed("study", "lesion", "digits", "--run", str(with_comma))["run"] == (with_comma,)
    assert parsed("evaluate", "a", "--with", str(with_comma))["with_"] == (str(with_comma),)
    assert parsed("predict", "a", "x,y.jpg")["paths"] == ("x,y.jpg",), "a positional path is no list"
    assert parsed("convert", "a,b.pth", "--out", "c,d")["out"] == Path("c,d")


def test_edits_keep_the_commas_of_their_values() -> None:
    found = parsed("inspect", "resnet18", "--set", "depths=3,4,6,3,shortcut=none", "--set", "kernels=[3,1],[3,3]")
    assert found["set_"] == ("depths=3,4,6,3", "shortcut=none", "kernels=[3,1],[3,3]")


@pytest.mark.parametrize("words", [["--scale", "0.25"], ["--scale", "0.2,0.5,1"], ["--scale=0.25", "--epochs", "3"]])
def test_a_pair_needs_two_entries(words: list[str]) -> None:
    with pytest.raises(InputError, match=r"--scale .*2 values"):
        parsed("train", "digits", "--out", "x", *words)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "digits", "--out", "x", "--milestones", "60,many"],
        ["train", "digits", "--out", "x", "--milestones", ","],
        ["train", "digits", "--out", "x", "--milestones", "60,,120"],
        ["train", "digits", "--out", "x", "--milestones", "60,1.5"],
        ["train", "digits", "--out", "x", "--epochs", "1.5"],
        ["train", "digits", "--out", "x", "--batch-size=1e1"],
        ["train", "digits", "--out", "x", "--seed", "1e999"],
        ["bench", "resnet18", "--batches", ".5"],
        ["bench", "resnet18", "--engine", "eager,fast"],
        ["bench", "resnet18", "--batch", "1,0"],
        ["bench", "resnet18", "--batch", "x"],
        ["bench", "resnet18", "--batch"],
        ["study", "degradation", "digits", "--depths", "20,x"],
        ["study", "degradation", "digits", "--depths", "0,20"],
        ["study", "degradation", "digits", "--depths", "8,1000000000"],
        ["verify", "resnet18", "--peer", "timm,keros"],
        ["convert", "f", "--model", "resnet18", "--out", "x", "--mean", "0.5,0.5"],
        ["convert", "f", "--model", "resnet18", "--out", "x", "--mean", "0.5,nought,0.5"],
        ["evaluate", "a", "--views", "1,11crop"],
    ],
)
def test_an_entry_that_is_none(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert not list(tmp_path.iterdir())
