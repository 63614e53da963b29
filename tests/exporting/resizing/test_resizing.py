"""Graphs that take images of any size: resized and cropped as ours are, to one grey level, or of fixed size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import residua
from exporting.runs import digits_run
from residua.data.decode import Pixels
from residua.exporting.export import export
from residua.exporting.formats import open_graph
from residua.exporting.recheck import check_export
from residua.exporting.resizing import fit as fitting
from residua.exporting.resizing.fit import fit, raw_images
from residua.specs.preprocess import Interpolation, PreprocessSpec

PREPROCESS = PreprocessSpec(16, 19, mean=(0.3, 0.3, 0.3), std=(0.35, 0.35, 0.35))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> residua.Run:
    return residua.load(digits_run(tmp_path_factory.mktemp("resizing") / "run", preprocess=PREPROCESS))


@pytest.mark.parametrize(("format_", "precision"), [("onnx", "fp32"), ("openvino", "fp32"), ("onnx", "int8")])
def test_a_graph_takes_images_of_any_size(format_: Any, precision: Any, run: residua.Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written = export(run, format=format_, precision=precision, any_size=True, out=out, max_drop=0.2)
    certificate = written.certificate
    assert certificate.any_size
    assert certificate.with_preprocessing
    assert certificate.verdict.answer == "passes"
    assert "images of any size" in certificate.conversion[1]
    assert "its resize is at most 1 grey level from ours on 48 images" in certificate.conversion[-1]
    assert certificate.rows[-1].batches == (1,)
    assert certificate.rows[-1].agreement >= 0.97
    answers, metadata = open_graph(format_, out, precision)
    assert metadata["input"] == "pixels of any size"
    generator = np.random.default_rng(0)
    for height, width in ((16, 16), (19, 19), (40, 61), (120, 33), (7, 9)):
        pixels = generator.integers(0, 256, (3, height, width, 3), np.uint8)
        with torch.inference_mode():
            wanted = run.model(torch.stack([run.preprocess(image) for image in pixels])).softmax(1)
        far = (answers(torch.from_numpy(pixels)) - wanted).abs().max()
        # Of int8 the rows have spoken: on noise it is far from float32 by itself.
        assert far < 0.02 or precision == "int8", (height, width)
    assert check_export(out, run).verdict.answer == "passes"


def _smooth() -> Iterator[Pixels]:
    generator = np.random.default_rng(1)
    for size in ((41, 57), (60, 33), (38, 38)):
        coarse = Image.fromarray(generator.integers(0, 256, (4, 4, 3), np.uint8))
        yield np.asarray(coarse.resize(size, Image.Resampling.BICUBIC))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("format_", ["onnx", "openvino"])
def test_odd_and_even_excess_are_cut_as_ours(format_: Any, interpolation: Interpolation) -> None:
    for size, resize in ((16, 19), (16, 18), (15, 16), (16, 16), (33, 36)):
        spec = PreprocessSpec(size, resize, interpolation=interpolation)
        # Overshoots at hard edges are cut between the two passes, whose order is Pillow's own affair: it shows there.
        images = raw_images(spec, None) if interpolation == "bilinear" else _smooth()
        outcome = fit(format_, spec, images)
        assert outcome.holds, (size, resize, outcome.sentence)


@pytest.mark.parametrize(
    ("format_", "fields", "words"),
    [
        ("torch", {}, "torch has no such resize"),
        ("onnx", {"interpolation": "lanczos"}, "no lanczos resize"),
        ("openvino", {"crop_mode": "border"}, "shorter side of square images alone"),
    ],
)
def test_else_the_size_is_fixed_and_the_certificate_states_why(
    format_: str, fields: dict[str, Any], words: str, tmp_path: Path
) -> None:
    run = residua.load(digits_run(tmp_path / "run", preprocess=PreprocessSpec(16, 19, **fields)))
    certificate = export(run, format=format_, any_size=True, golden_only=True, out=tmp_path / "out").certificate
    assert not certificate.any_size
    assert certificate.with_preprocessing
    assert words in certificate.conversion[-1]
    assert "the size is fixed" in certificate.conversion[-1]


def test_a_resize_that_is_too_far_is_not_relied_on(
    run: residua.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = fitting._opened
    monkeypatch.setattr(fitting, "_opened", lambda *all: lambda pixels: original(*all)(pixels) // 2)
    certificate = export(run, format="onnx", any_size=True, golden_only=True, out=tmp_path / "out").certificate
    assert not certificate.any_size
    assert "grey levels from ours" in certificate.conversion[-1]
