"""Networks for oblong images: timm's preprocessing in every use, kept, written and shown; training refuses them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import residua
from residua._base.errors import InputError
from residua.cli.app import main
from residua.data.loader import Loader
from residua.data.open import open_dataset
from residua.specs.preprocess import CropMode, PreprocessSpec
from residua.weights.convert import convert
from residua.weights.create import create_model
from residua.weights.run import Run

timm = pytest.importorskip("timm")
pytestmark = pytest.mark.filterwarnings("ignore:.*input_size declares:UserWarning")
SIZE = (64, 96)
Output = pytest.CaptureFixture[str]


def _config(mode: str) -> dict[str, Any]:
    fields = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "interpolation": "bicubic", "crop_pct": 0.9}
    return fields | {"input_size": [3, *SIZE], "crop_mode": mode}


@pytest.fixture(params=["center", "squash", "border"])
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "hub"
    folder.mkdir()
    torch.manual_seed(0)
    state = create_model("resnet18", num_classes=2).state_dict()
    safetensors.torch.save_file(state, folder / "model.safetensors")
    config = {"architecture": "resnet18", "label_names": ["ant", "bee"], "pretrained_cfg": _config(request.param)}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index, size in enumerate([(50, 90), (120, 60), (64, 96), (33, 33)]):
            pixels = random.integers(0, 256, (*size, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{index}.png")
    return tmp_path / "data"


def _theirs(run: Run, image: Path) -> torch.Tensor:
    config = timm.data.resolve_data_config(pretrained_cfg=_config(run.preprocess_spec.crop_mode))
    found: torch.Tensor = timm.data.create_transform(**config)(Image.open(image))
    return found


def test_every_use_sees_what_timm_shows(hub: Path, data: Path, tmp_path: Path) -> None:
    run = residua.load(hub)
    files = sorted(data.glob("*/*.png"))
    theirs = torch.stack([_theirs(run, file) for file in files])
    assert theirs.shape == (8, 3, *SIZE)
    torch.testing.assert_close(torch.stack([run.preprocess(file) for file in files]), theirs, rtol=0, atol=1e-6)
    with torch.no_grad():
        wanted = run.model(theirs).softmax(1)
    for found, row in zip(residua.predict(run, files, top=2), wanted, strict=True):
        shares = dict(zip(found.labels, found.probabilities, strict=True))
        assert [shares["ant"], shares["bee"]] == pytest.approx(row.tolist(), rel=1e-4)
    report = residua.evaluate(run, data, split="train")
    right = int((wanted.argmax(1) == torch.tensor([0] * 4 + [1] * 4)).sum())
    assert report.top1 == right / 8
    assert report.model["input_size"] == SIZE
    found = residua.explain(run, files, out=tmp_path / "maps.png")
    assert all(each.map.shape == SIZE for each in found)
    assert [each.labels[0] for each in found] == [("ant", "bee")[index] for index in wanted.argmax(1).tolist()]
    assert (tmp_path / "maps.png").is_file()


def test_it_is_kept_converted_and_read_by_timm(hub: Path, data: Path, tmp_path: Path, capsys: Output) -> None:
    run = residua.load(hub)
    again = residua.load(run.save_pretrained(tmp_path / "kept"))
    assert again.preprocess_spec == run.preprocess_spec
    assert again.spec == run.spec
    assert "3 × 64 × 96" in (tmp_path / "kept" / "README.md").read_text()
    opened = timm.create_model(f"local-dir:{tmp_path / 'kept'}", pretrained=True)
    config = timm.data.resolve_data_config(model=opened)
    image = sorted(data.glob("*/*.png"))[0]
    shown = timm.data.create_transform(**config)(Image.open(image))
    torch.testing.assert_close(run.preprocess(image), shown, rtol=0, atol=1e-6)
    words = ["convert", str(hub / "model.safetensors"), "--model", "resnet18", "--out", str(tmp_path / "run")]
    assert main(words) == 0
    assert "centre crop 64 × 96" in capsys.readouterr().out
    assert residua.load(tmp_path / "run").preprocess_spec == run.preprocess_spec
    assert asdict(run.preprocess_spec)["image_size"] == SIZE


def test_views_comparisons_and_pages(hub: Path, data: Path, tmp_path: Path, capsys: Output) -> None:
    page = tmp_path / "report"
    words = ["evaluate", str(hub), str(data), "--split", "train"]
    assert main([*words, "--views", "1,flip,10crop,multiscale", "--report", str(page)]) == 0
    assert "64 × 96 pixels" in (page / "report.html").read_text()
    assert json.loads((page / "report.json").read_text())["model"]["input_size"] == [64, 96]
    residua.load(hub).save_pretrained(tmp_path / "kept")
    capsys.readouterr()
    assert main(["compare", str(hub), str(tmp_path / "kept"), "--data", str(data), "--split", "train", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert [row["input_size"] for row in rows] == [[64, 96]] * 2
    assert rows[0]["macs"] == residua.inspect(residua.get_spec("resnet18", num_classes=2), (3, *SIZE)).macs


def test_training_takes_squares_alone(data: Path) -> None:
    oblong = PreprocessSpec(SIZE, SIZE)
    split = open_dataset(data).splits["train"]
    with pytest.raises(InputError, match=r"training on images of 64 × 96 pixels.*square images.*image_size=96"):
        Loader(split, oblong, batch_size=2, num_classes=2, train=True)
    with pytest.raises(InputError, match="image_size"):
        residua.train(data, model="cifar_resnet8", out=data.parent / "run", image_size=SIZE)


def test_a_network_that_takes_one_size_refuses_oblong_images(tmp_path: Path) -> None:
    network = create_model("cifar_resnet8")
    torch.save(network.state_dict(), tmp_path / "w.pth")
    run = convert(tmp_path / "w.pth", model="cifar_resnet8", out=tmp_path / "a", preprocess=PreprocessSpec(SIZE, SIZE))
    assert run.spec.input_size == 32
    torch.save(create_model("highway_mlp10").state_dict(), tmp_path / "mlp.pth")
    with pytest.raises(InputError, match=r"images of 28 × 56 pixels.*exactly 28 × 28"):
        convert(
            tmp_path / "mlp.pth",
            model="highway_mlp10",
            out=tmp_path / "b",
            preprocess=PreprocessSpec((28, 56), (28, 56)),
        )


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_the_spec_settles_its_sides(mode: CropMode) -> None:
    assert PreprocessSpec((64, 64), (72, 72), crop_mode=mode) == PreprocessSpec(64, 72, crop_mode=mode)
    listed: Any = [64, 96]
    assert PreprocessSpec(listed, listed).size == SIZE, "as JSON has it"
    for sizes, words in (
        (((64, 96), 96), "a pair"),
        ((64, (72, 72)), "a pair"),
        (((64, 96), (72, 95)), "image_size <= resize"),
        (((64, 96), (72, 120)), r"Use resize=\(80, 120\)"),
        (((64, 5000), (64, 5000)), r"image_size\[1\]"),
    ):
        given: Any = sizes
        with pytest.raises(InputError, match=words):
            PreprocessSpec(*given, crop_mode=mode)


def test_the_share_of_the_crop_gives_the_same_resize() -> None:
    for height in range(10, 200, 13):
        for width in range(10, 200, 17):
            for share in (1.0, 0.95, 0.875, 0.5, 1 / 3):
                resize = (math.floor(height / share), math.floor(width / share))
                found = PreprocessSpec((height, width), resize).crop_share
                assert (math.floor(height / found), math.floor(width / found)) == resize


def test_an_oblong_size_is_stated(hub: Path) -> None:
    with pytest.warns(UserWarning, match=r"prepared at 64 × 96 pixels \(height × width\)"):
        residua.load(hub)
