"""Thumbnails of explanations in a page."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from residua.explanation.thumbnails import overlay_uris
from residua.families.build import build
from residua.families.network import Classifier
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec

Learnt = tuple[Classifier, Tensor, Tensor]


def test_thumbnails(learnt: Learnt) -> None:
    network = learnt[0]
    pixels = list(np.random.default_rng(0).integers(0, 256, (10, 16, 16, 3), np.uint8))
    found = overlay_uris(network, pixels, [number % 10 for number in range(10)], PreprocessSpec(16, 16), side=64)
    assert len(set(found)) == 10
    kind, data = found[0].split(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == (64, 64)
    assert len(data) < 8000


def test_where_there_are_no_maps_there_are_no_thumbnails() -> None:
    spec = get_spec("highway_mlp10", num_classes=3)
    pixels = [np.zeros((spec.input_size, spec.input_size, 3), np.uint8)]
    assert overlay_uris(build(spec), pixels, [0], PreprocessSpec(28, 28)) == [""]
    assert overlay_uris(torch.nn.Flatten(), pixels, [0], PreprocessSpec(28, 28)) == [""]
    assert overlay_uris(build(spec), [], [], PreprocessSpec(28, 28)) == []
