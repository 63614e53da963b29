"""A random crop of an encoded image is that of the decoded one, decoded only as finely as it needs."""

from __future__ import annotations

import tracemalloc
from functools import partial
from typing import Any

import numpy as np
import pytest

from data.pictures import encoded, picture
from residua.data.decode import BadImage, EncodedImage, decode
from residua.data.preprocess.random_crop import Box, Boxes, box_uniforms, crop_of_encoded, crop_resize
from residua.specs.augment import AugmentSpec

SPEC = AugmentSpec(crop="random_resized", scale=(0.25, 1.0))


def boxes(count: int, spec: AugmentSpec = SPEC) -> Boxes:
    return Boxes(box_uniforms(3, 1, np.arange(count)), spec)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("method", ["bilinear", "bicubic", "lanczos"])
def test_a_crop_of_a_file_is_that_of_its_pixels(kind: str, method: str) -> None:
    data, drawn = encoded(picture(4, 90, 130), kind), boxes(8)
    for row in range(8):
        fit = partial(drawn.fit, row)
        ours = crop_of_encoded(EncodedImage(data), fit, 80, method).astype(int)
        whole = crop_resize(decode(data), fit(90, 130), 80, method).astype(int)
        assert ours.shape == (80, 80, 3)
        # Where a reduced scale is allowed, so are libjpeg's quicker transforms.
        assert np.abs(ours - whole).mean() < (2 if kind == "JPEG" else 1e-9)


def test_a_large_photo_is_decoded_at_a_reduced_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    data, sizes = encoded(picture(4, 800, 1200), "JPEG"), []
    whole = EncodedImage.decode

    def noted(image: EncodedImage, min_size: tuple[int, int] = (0, 0)) -> Any:
        pixels = whole(image, min_size)
        sizes.append(pixels.shape)
        return pixels

    monkeypatch.setattr(EncodedImage, "decode", noted)
    crop_of_encoded(EncodedImage(data), lambda height, width: Box(0, 0, height, width), 100, "bilinear")
    crop_of_encoded(EncodedImage(data), lambda height, width: Box(100, 200, 120, 120), 100, "bilinear")
    assert sizes == [(100, 150, 3), (800, 1200, 3)]


def test_a_crop_copies_no_more_than_the_box() -> None:
    image = np.zeros((4000, 3000, 3), np.uint8)
    image[10:20, 30:50] = 200
    image.flags.writeable = False
    tracemalloc.start()
    try:
        crop = crop_resize(image, Box(10, 30, 10, 20), 16, "bilinear")
        assert tracemalloc.get_traced_memory()[1] < image.nbytes / 100
    finally:
        tracemalloc.stop()
    assert (crop == 200).all()


def test_what_does_not_decode_is_named() -> None:
    data = encoded(picture(4, 90, 130), "JPEG")
    data = data[: len(data) * 2 // 3]
    with pytest.raises(BadImage, match=r"photo\.jpg"):
        crop_of_encoded(EncodedImage(data, "photo.jpg"), partial(boxes(1).fit, 0), 80, "bilinear")


def test_boxes_do_not_depend_on_the_rest_of_the_batch() -> None:
    many, table = boxes(50), box_uniforms(3, 1, np.arange(50))
    for row in range(50):
        assert many.fit(row, 33, 70) == Boxes(table[row : row + 1], SPEC).fit(0, 33, 70)


def test_a_box_that_no_draw_fits_is_the_largest_of_a_legal_aspect() -> None:
    assert boxes(1, AugmentSpec(crop="random_resized", scale=(0.9, 1.0))).fit(0, 10, 1000) == Box(0, 493, 10, 13)
