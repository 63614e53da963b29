"""A loss far above that of guessing is spoken of, with a rate to try."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from residua.training.loop import train
from residua.training.step.guessing import far_above_guessing


@pytest.mark.parametrize(
    ("train_loss", "val_loss", "said"),
    [
        (0.8, 0.9, ""),
        (1.3, None, ""),
        (5.9, 0.7, "The training loss of 5.90 is far above ln 2 = 0.69"),
        (0.9, 528424.0, "The validation loss of 528,424.00 is far above ln 2 = 0.69"),
    ],
)
def test_two_classes(train_loss: float, val_loss: float | None, said: str) -> None:
    sentence = far_above_guessing(train_loss, val_loss, classes=2, learning_rate=0.1)
    assert sentence.startswith(said) if said else not sentence
    assert ("learning_rate=0.02" in sentence) == bool(said)


def test_auxiliary_classifiers_are_allowed_for() -> None:
    assert far_above_guessing(5.0, None, classes=10, learning_rate=0.1)
    assert not far_above_guessing(5.0, None, classes=10, aux=0.6, learning_rate=0.1)


def test_a_run_at_a_rate_that_is_too_high_is_warned_of_once(
    small: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train("digits", "cifar_resnet8", out=tmp_path / "a", **{**small, "learning_rate": 30.0, "train_images": 300})
    assert capfd.readouterr().err.count("which guessing gives") == 1
