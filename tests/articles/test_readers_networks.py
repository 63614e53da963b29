"""Rows 100, 101, 108, 109 of the articles' list: ResNeXt, stochastic depth, explanations, options with lists."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import stochastic_depth

from cli.test_lists import parsed
from evaluation.runs import COLOURS, colour_run, paint
from residua.cli.app import main
from residua.families.build import build
from residua.specs.catalog import counts, get_spec
from residua.weights.create import create_model


@torch.no_grad()
def test_row_100_resnext_splits_its_3x3() -> None:
    """32 groups of 4 channels compute 32 paths of their own; 25,028,904 parameters, 4.23 GMACs."""
    assert counts("resnext50_32x4d") == (25_028_904, 4_230_479_872)
    with torch.device("meta"):
        published = build(get_spec("resnext50_32x4d")).layer1[0]
    assert (published.conv2.groups, published.conv2.out_channels, published.conv3.out_channels) == (32, 128, 256)
    torch.manual_seed(0)
    unit = build(get_spec("resnext50_32x4d", depths=(1,), widths=(64,))).layer1[0].double().eval()
    x = torch.randn(1, 64, 6, 6, dtype=torch.float64)
    inner = unit.bn1(unit.conv1(x)).relu()
    # The sum over paths of 4 channels each (Xie 2017, figure 3a against 3c).
    paths = [
        torch.nn.functional.conv2d(inner[:, 4 * n : 4 * n + 4], unit.conv2.weight[4 * n : 4 * n + 4], padding=1)
        for n in range(32)
    ]
    normed = unit.bn2(torch.cat(paths, 1)).relu()
    kernel = unit.conv3.weight
    merged = sum(
        torch.nn.functional.conv2d(normed[:, 4 * n : 4 * n + 4], kernel[:, 4 * n : 4 * n + 4]) for n in range(32)
    )
    wanted = (unit.bn3(merged) + unit.downsample(x)).relu()
    torch.testing.assert_close(unit(x.clone()), wanted)


def test_row_101_stochastic_depth() -> None:
    """Survival falls in a line to p_L; a dropped unit is its shortcut; evaluation is the plain network."""
    torch.manual_seed(0)
    network = create_model("cifar_resnet110", stochastic_depth=0.5)
    units = [*network.units()]
    survival = [1 - unit.stochastic_depth.probability for unit in units]
    assert survival[0] == pytest.approx(1 - 0.5 / 54)
    assert survival[-1] == 0.5
    assert sum(survival) / 54 == pytest.approx(0.75, abs=0.01)  # 3/4 of the units on average (Huang 2016, section 3)
    last, x = units[-1], torch.rand(16, 64, 8, 8)
    branch = last.bn2(last.conv2(last.relu(last.bn1(last.conv1(x)))))
    for seed in range(4):
        torch.manual_seed(seed)
        got = last(x.clone())
        torch.manual_seed(seed)
        wanted = torch.relu(x + stochastic_depth(branch, 0.5, "batch", training=True))
        assert torch.allclose(got, wanted, rtol=1e-5, atol=1e-6)
    plain = create_model("cifar_resnet110").eval()
    plain.load_state_dict(network.state_dict())
    with torch.no_grad():
        image = torch.rand(2, 3, 32, 32)
        assert torch.equal(network.eval()(image), plain(image))


def test_row_108_explain_draws_a_sheet_of_six(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Six images, six rows of one picture, and a line for each with the class that was explained."""
    paths = []
    for number in range(2):
        for name, colour in COLOURS.items():
            paths.append(str(paint(tmp_path / f"{name}{number}.png", colour)))
    sheet = tmp_path / "sheet.png"
    assert main(["explain", str(colour_run(tmp_path / "run")), *paths, "--out", str(sheet)]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if ".png" in line]
    assert len(lines) == 6
    for path, line in zip(paths, lines, strict=True):
        assert Path(path).name in line
        assert Path(path).stem.rstrip("01") in line.replace(Path(path).name, "")
    with Image.open(sheet) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    for colour in COLOURS.values():
        assert np.count_nonzero((np.abs(pixels.astype(int) - colour) < 8).all(axis=2)) > 500


def test_row_109_a_list_option_takes_commas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The form that the message recommends works, as repetition does; the rate falls at both milestones."""
    train = ["train", "digits", "--model", "cifar_resnet8", "--out", str(tmp_path / "run"), "--schedule", "step"]
    assert main(train) == 2
    assert "--milestones 60,120" in " ".join(capsys.readouterr().err.split())
    for form in (["--milestones", "60,120"], ["--milestones=60,120"], ["--milestones", "60", "--milestones", "120"]):
        assert parsed(*train, *form)["milestones"] == (60, 120)
    short = ["--epochs", "3", "--image-size", "8", "--train-images", "64", "--learning-rate", "0.1"]
    assert main([*train, *short, "--milestones", "1,2", "--gamma", "0.1,0.5"]) == 0
    lines = [json.loads(line) for line in (tmp_path / "run/history.jsonl").read_text().splitlines()]
    assert [line["learning_rate"] for line in lines] == pytest.approx([0.1, 0.01, 0.005])
