"""Field names in messages become the flags of the running command, and nothing else does."""

from __future__ import annotations

import shlex
import warnings
from pathlib import Path

import pytest
from PIL import TiffImagePlugin

from residua._base.errors import InputError
from residua._base.words import worded, wording
from residua.cli.app import _COMMANDS, _own_warnings, build_app, main
from residua.cli.flags import as_flags, error_as_flags, options_of
from residua.cli.lists import spread

APP = build_app()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("batch_size=2", "--batch-size 2"),
        ("Use batch_size=2, or resume=True.", "Use --batch-size 2, or --resume."),
        ("pass on_bad='skip' to", "pass --on-bad skip to"),
        ("device='cuda:1'", "--device cuda:1"),
        ("give another out=…", "give another --out"),
        ("(data_dir=… names the folder)", "(--data-dir names the folder)"),
        ("out=RUN", "--out RUN"),
        ("out='a b'", "--out 'a b'"),
        ("data='PHOTOS' or data=…", "DATA PHOTOS or DATA"),
        ("learning_rate=1e-05.", "--learning-rate 1e-05."),
        ("nesterov=False, not nesterov=True", "--no-nesterov, not --nesterov"),
        ("resume=False", "no --resume"),
        ("model=None", "no --model"),
        ("milestones=[60, 120]", "--milestones 60,120"),
        ("milestones=[]", "--no-milestones"),
        ("scale=(0.25, 1.0)", "--scale 0.25,1.0"),
        ("1 <= batch_size <= 3", "1 <= --batch-size <= 3"),
        ("a finite number, 0 <= epochs", "a finite number, 0 <= --epochs"),
        ("final_learning_rate <= learning_rate", "--final-learning-rate <= --learning-rate"),
    ],
)
def test_fields_are_shown_as_flags(text: str, shown: str) -> None:
    assert as_flags(text, options_of(APP, "train")) == shown


@pytest.mark.parametrize(
    "text",
    [
        "num_classes=3 and crop_padding=1",  # no options of this command
        "scale=[]",  # no flag means it
        "the folder 'batch_size=2'",
        'the file "seed=3.png"',
        "runs/seed=3/model.safetensors",
        "https://host/file?data=5&model=3",
        "Repeat it: residua train PHOTOS --out seed=3",
        "`residua train seed=3 --resume`",
        "seed==3",
        "seeds=3",
    ],
)
def test_other_text_stays(text: str) -> None:
    assert as_flags(text, options_of(APP, "train")) == text


@pytest.mark.parametrize(
    ("command", "text", "shown"),
    [
        ("convert", "source='timm'", "--from timm"),
        ("convert", "write_for(…, peer=…) writes", "--to writes"),
        ("convert", "create_model(…, num_classes=N, out=X)", "create_model(…, num_classes=N, out=X)"),
        ("inspect", "input_shape=3x64x64", "--input 3x64x64"),
        ("evaluate", "members=['a', 'b'], with_=…", "--with a,b, --with"),
        ("evaluate", "reestimate=True and cache=False", "--reestimate-bn and --no-cache"),
        ("study", "depths=[20, 56]", "--depths 20,56"),
        ("predict", "resume=True", "resume=True"),
    ],
)
def test_each_command_has_its_own_flags(command: str, text: str, shown: str) -> None:
    assert as_flags(text, options_of(APP, command)) == shown


def test_what_is_shown_is_accepted() -> None:
    """The flags that stand for lists and switches are those that the command takes."""
    options = options_of(APP, "train")
    fields = ["milestones=[60, 120]", "scale=(0.25, 1.0)", "nesterov=False", "on_bad='skip'", "resume=True"]
    words = shlex.split(" ".join(as_flags(field, options) for field in fields))
    words = spread(APP, ["train", "digits", "--out", "x", *words])
    _, bound, _ = APP.parse_args(words, exit_on_error=False, print_error=False)
    found = bound.kwargs
    assert found["milestones"] == (60, 120)
    assert found["scale"] == (0.25, 1.0)
    assert (found["nesterov"], found["on_bad"], found["resume"]) == (False, "skip", True)


def test_an_error_is_rendered_part_by_part() -> None:
    error = InputError("epochs=0", "epochs >= 1", "epochs=2 is a start")
    shown = error_as_flags(error, options_of(APP, "train"))
    assert shown == "Given: --epochs 0. Wanted: --epochs >= 1. --epochs 2 is a start."
    assert "epochs=0" in str(error)


def test_the_command_shows_flags_and_the_library_fields(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "digits", "--out", str(tmp_path / "run"), "--batch-size", "0"]) == 2
    assert "Given: --batch-size 0." in capsys.readouterr().err
    assert worded("batch_size=0") == "batch_size=0"


def test_warnings_are_one_line_with_flags(capsys: pytest.CaptureFixture[str]) -> None:
    import residua

    with wording(lambda text: as_flags(text, options_of(APP, "train"))), _own_warnings(), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn_explicit("Use batch_size=2", UserWarning, str(Path(residua.__file__)), 1)
    assert capsys.readouterr().err == "Warning: Use --batch-size 2\n"


def test_what_pillow_comments_on_a_file_is_not_shown() -> None:
    with warnings.catch_warnings(record=True) as shown, _own_warnings():
        warnings.simplefilter("always")
        warnings.warn_explicit("Truncated File Read", UserWarning, TiffImagePlugin.__file__, 1)
        warnings.warn_explicit("of a different package", UserWarning, warnings.__file__, 1)
    assert [str(each.message) for each in shown] == ["of a different package"]


@pytest.mark.parametrize("command", _COMMANDS)
def test_every_parameter_has_help(command: str) -> None:
    found = APP[command].assemble_argument_collection(parse_docstring=True)
    assert len(found) > 1
    assert [argument.name for argument in found if not argument.parameter.help] == []
