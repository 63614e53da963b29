"""What a wrong word is answered with: the legal values, and something to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from residua.cli.app import build_app, main
from residua.cli.flags import as_flags, options_of

TRAIN = ("train", "digits", "--model", "cifar_resnet8", "--out", "a", "--epochs", "1")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ((*TRAIN, "--rotation", "nan"), "Wanted: a finite number, 0 to 180. Use 0 to switch it off."),
        ((*TRAIN, "--zoom", "nan,1"), "Given: --zoom[0] nan. Wanted: a finite number, 0.01 to 100."),
        ((*TRAIN, "--learning-rate", "nan"), "Given: --learning-rate nan. Wanted: a finite number, "),
        (
            ("inspect", "resnet18", "--set", "depths=a,b"),
            "a list of whole numbers. As it is, resnet18 has depths=2,2,2,2",
        ),
        (
            ("inspect", "resnet18", "--set", "final_norm=maybe"),
            "true or false. As it is, resnet18 has final_norm=true.",
        ),
        (
            ("inspect", "vgg11", "--set", "stem=none"),
            "a family that has it: resnet. Leave it out: a vgg network has no ",
        ),
        (("inspect", "vgg11", "--set", "stem=imagenet"), "a family that has it: resnet, densenet."),
        (
            ("inspect", "vgg11", "--until", "56.0"),
            "or a resolution that it has: 224×224, 112×112, 56×56, 28×28, 14×14, ",
        ),
        (("inspect", "vgg11", "--until", "56.0"), "Did you mean 56?"),
        (("inspect", "vgg11", "--until", "-1"), "Did you mean 7?"),
        (("inspect", "vgg11", "--until", "nothing like it"), "Use 224×224."),
        (("inspect", "x"), "a name of the catalog, such as resnet50, cifar_resnet20 or vgg16."),
        (("inspect", ""), "a network without a name, ''. Wanted: a name of the catalog, such as resnet50."),
        (("inspect", "resnet18", ""), "a network without a name, ''."),
        (("train", "digits", "--model", "", "--out", "a"), "a network without a name, ''."),
        (("study", "lesion", "digits", "--model", "", "--out", "s"), "a network without a name, ''."),
        (("evaluate", ""), "Given: run '', an empty word. Wanted: a name or a path. Use . for the current folder."),
        (("predict", "", "x.jpg"), "run '', an empty word"),
        (("check", ""), "an empty word"),
        (("train", "", "--out", "a"), "an empty word"),
        (("inspect", "resnet18", "--by", "stage", "--table", "lecture"), "--by stage with --table lecture"),
    ],
)
def test_the_answer(
    words: tuple[str, ...],
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*words]) == 2
    assert shown in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_none_for_the_classes_is_no_classifier(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for classes in ("None", "0"):
        assert main(["inspect", "cifar_resnet8", "--set", f"num_classes={classes}"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "\nfc " not in printed[0]


def test_bare_weights_as_a_run_name_the_command_that_helps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "bare weights.safetensors"
    save_file({"fc.weight": torch.zeros(2, 2)}, path)
    assert main(["evaluate", str(path), "digits"]) == 2
    wanted = "residua convert FILE --model MODEL --out RUN; or load them with create_model(NAME, weights=FILE)."
    assert wanted in capsys.readouterr().err


@pytest.mark.parametrize("start", ["http://", ""])
def test_the_address_of_a_server_is_shown_without_secrets(start: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conform", f"{start}user:SECRET@127.0.0.1:9/?token=SECRET"]) == 2
    printed = capsys.readouterr().err
    assert "127.0.0.1:9" in printed
    assert "SECRET" not in printed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("create_model(NAME, weights=PATH)", "create_model(NAME, weights=PATH)"),
        ("residua.load(RUN, batch_size=3), batch_size=3", "residua.load(RUN, batch_size=3), --batch-size 3"),
        ("views[1]='x'", "--views[1] x"),
        ("1 <= views[0] <= 3", "1 <= --views[0] <= 3"),
    ],
)
def test_python_stays_python_and_entries_keep_their_number(text: str, shown: str) -> None:
    assert as_flags(text, options_of(build_app(), "evaluate")) == shown


def test_several_networks_have_a_table_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "cifar_resnet20", "cifar_plain20", "--by", "stage"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("\nlayer3 ") == 2
    assert "weighted layers as He 2015 counts them: without projections" in printed
    row = next(line for line in printed.splitlines() if line.startswith("weighted layers"))
    assert [word for word in row.split() if word.isdigit()] == ["20", "20"]
    assert main(["inspect", "cifar_resnet20", "cifar_plain20"]) == 0
    assert "\nlayer3 " not in capsys.readouterr().out
