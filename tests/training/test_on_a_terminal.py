"""What a person sees of a training run on a terminal of 80 characters."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from residua._base.console import _with_bar
from residua.training.console.epoch_table import header, row
from residua.training.loop import train

LINE = {
    "epoch": 3,
    "train_loss": 1.5,
    "val_loss": 528424.25,
    "val_top1": 0.5,
    "val_balanced_accuracy": 0.25,
    "learning_rate": 0.01,
    "images_per_second": 1234.4,
    "seconds": 725.0,
}


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_row_fits_and_states_the_epoch() -> None:
    names = [each.strip() for each in re.split("  +", header(balanced=False))]
    assert names == ["epoch", "train loss", "val loss", "val acc", "rate", "images/s", "time"]
    text = row(LINE, balanced=False, best=True)
    assert text.split() == ["3", "1.5000", "5.28e+05", "50.00%", "0.01", "1,234", "12:05", "best"]
    assert "25.00%" in row(LINE, balanced=True, best=False)
    assert max(len(text), len(row(LINE, balanced=True, best=True))) <= 79
    without = {**LINE, "val_loss": None, "val_top1": None}
    assert "–" in row(without, balanced=False, best=False)


@pytest.mark.parametrize("width", [200, 80, 60, 40])
def test_the_live_line_leaves_out_whole_fields(width: int) -> None:
    line = "epoch 69/100  step 12000/24000  loss 0.5123  val 91.3%  1,234 images/s  ETA 10:00:42"
    shown = _with_bar(line, 0.5, width)
    assert len(shown) < width
    assert "ETA 10:00:42" in shown
    fields = [field for field in shown.split("  ") if not re.fullmatch("━+·+", field)]
    assert set(fields) <= set(line.split("  "))


def test_a_table_of_epochs_stays(small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a path is shown whole, however long
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    options = {**small, "train_images": 128, "freeze": "layer1", "keep": "best"}
    train("digits", "cifar_resnet8", out="run", **options)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue()).replace("\r", "\n")
    lines = text.split("\n")
    assert max(map(len, lines)) <= 80
    (head,) = (at for at, line in enumerate(lines) if line.split()[:3] == ["epoch", "train", "loss"])
    rows = [line for line in lines[head:] if re.match(r" {4}\d  ", line)]
    assert [each.split()[0] for each in rows] == ["1", "2"]
    assert rows[0].endswith("best")
    assert "━" in text
    assert re.search(r"Frozen: layer1; [\d,]+ of [\d,]+\s+parameters learn", text)
    assert "Training images of each class: " in text
    # How the machine computes comes last of what is said before the first epoch.
    assert "kernels (" in "".join(lines[head - 3 : head])
    assert re.search(r"always answering \S+ would be right for \d\d\.\d\d%", " ".join(text.split()))
