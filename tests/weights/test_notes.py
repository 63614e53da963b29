"""What was taken of a file, and what was assumed of it, is stated wherever the file is used."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import residua
from residua.cli.app import main
from residua.weights.create import create_model


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder in the Hub's layout whose config.json states the network alone; the file holds averages too."""
    folder = tmp_path / "hub"
    folder.mkdir()
    state = create_model("resnet18", num_classes=2).state_dict()
    torch.save({"state_dict": state, "state_dict_ema": state}, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps({"architecture": "resnet18", "label_names": ["a", "b"]}))
    return folder


def _write(folder: Path, **fields: Any) -> None:
    config = {"architecture": "resnet18", "label_names": ["a", "b"], "pretrained_cfg": fields}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.filterwarnings("default:.*Preprocessing assumed")
def test_loading_warns_of_the_preprocessing_that_is_assumed(
    bare: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.warns(UserWarning, match=r"Preprocessing assumed, as timm's weights.*shorter side to"):
        run = residua.load(bare)
    notes = run.data["notes"]
    assert any("state_dict_ema" in note for note in notes)
    assert any("Preprocessing assumed" in note for note in notes)
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    assert main(["predict", str(bare), str(tmp_path / "a.png")]) == 0
    assert capsys.readouterr().err.count("Preprocessing assumed") == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = residua.load(run.save_pretrained(tmp_path / "kept"))
    assert again.data["notes"] == notes
    _write(bare, mean=[0.5, 0.5, 0.5])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stated = residua.load(bare)
    assert not any("assumed" in note for note in stated.data["notes"])


def test_a_network_knows_the_notes_of_its_weights(bare: Path) -> None:
    provenance = create_model("resnet18", num_classes=2, weights=bare).provenance
    assert provenance is not None
    assert any("state_dict_ema" in note for note in provenance.notes)
    assert any("Preprocessing assumed" in note for note in provenance.notes)
