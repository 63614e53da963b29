"""What the parser refuses is an error like any other: what was given, what was wanted, what to do."""

from __future__ import annotations

import pytest

from residua.cli.app import main

TRAIN = ["train", "digits", "--model", "cifar_resnet8", "--out", "never"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["learn", "--step", "a"], "Given: --step a. Wanted: a whole number. See: residua learn --help."),
        (["learn", "--step", ""], "Given: --step ''. Wanted: a whole number. See: residua learn --help."),
        (
            [*TRAIN, "--epochs", "1", "--epochs", "2"],
            "Given: --epochs twice. Wanted: one value of it. Give it once. See: ",
        ),
        (["models", "a", "b"], "Given: b, which no option of residua models takes. Wanted: words that it knows. See: "),
        ([*TRAIN, "--milestones", "60,abc"], "Given: --milestones abc. Wanted: a whole number."),
        ([*TRAIN, "--zoom", "a", "b"], "Given: --zoom a. Wanted: a number."),
        ([*TRAIN, "--fill", "mirror"], "Given: --fill mirror. Wanted: one of nearest, constant, reflect, wrap. See: "),
        ([*TRAIN, "--fill", "Reflekt"], "Did you mean reflect? See: residua train --help."),
        ([*TRAIN, "--center", "mean"], "Given: --center mean. Wanted: one of customary, none, channel, pixel, image."),
        ([*TRAIN, "--keep", "all"], "Given: --keep all. Wanted: one of best, last, every."),
        ([*TRAIN, "--precision", "fp64"], "Given: --precision fp64. Wanted: one of auto, fp32, bf16"),
        (["bench", "resnet18", "--precision", "fp31"], "Wanted: one of fp32, bf16, int8. Did you mean fp32?"),
        (["bench", "resnet18", "--steps", "3"], "an option that it has. See: residua bench --help."),
        (["bench", "resnet18", "--batchs", "3"], "Did you mean --batches? See: residua bench --help."),
        (["bench", "resnet18", "--batches"], "Given: --batches without its value. Wanted: --batches and a value."),
        (["convert", "a.pth"], "Given: no --out. Wanted: --out, which residua convert needs."),
        (["convert", "--out", "never"], "Given: no FILE. Wanted: FILE, which residua convert needs."),
        (["inspect", "resnet18", "--json=3"], "Given: --json 3. Wanted: the flag alone, or true or false."),
    ],
)
def test_an_error_of_the_parser_states_what_was_given_and_wanted(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
    assert 'convert "' not in shown.err
