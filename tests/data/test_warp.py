"""Shifts by fractions, turns, fills and levels: each against its definition; against Keras in tests/peers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from residua._base.errors import InputError
from residua.data.augment import Augment
from residua.data.warp import Moves, coordinates, sample
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import default_preprocess

SIDE, COUNT = 16, 64
LABELS, INDICES = torch.zeros(COUNT, dtype=torch.int64), np.arange(COUNT)


@pytest.fixture
def images() -> torch.Tensor:
    drawn = np.random.default_rng(0).integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    return torch.from_numpy(drawn).permute(0, 3, 1, 2)


def run(spec: AugmentSpec, images: torch.Tensor, epoch: int = 0) -> torch.Tensor:
    return Augment(spec, 5, default_preprocess(SIDE))(images, LABELS, INDICES, 0, epoch)[0]


def moves(**given: float) -> Moves:
    still = {"rows": 0.0, "columns": 0.0, "rotation": 0.0, "shear": 0.0, "row_zoom": 1.0, "column_zoom": 1.0}
    return Moves(**{name: np.array([value]) for name, value in (still | given).items()})


def shown(image: torch.Tensor, fill: str = "nearest", **given: float) -> torch.Tensor:
    rows, columns = coordinates(moves(**given), *image.shape[1:])
    return sample(image[None], rows, columns, fill, 7.0)[0]


def test_whole_moves_are_exact(images: torch.Tensor) -> None:
    image = images[0]
    torch.testing.assert_close(shown(image), image.float(), rtol=0, atol=0)
    torch.testing.assert_close(shown(image, rows=2.0)[:, :-2], image[:, 2:].float(), rtol=0, atol=0)
    torch.testing.assert_close(shown(image, columns=-1.0)[:, :, 1:], image[:, :, :-1].float(), rtol=0, atol=0)
    turned = torch.rot90(image, 1, (1, 2)).float()
    torch.testing.assert_close(shown(image, rotation=math.pi / 2), turned, rtol=0, atol=1e-3)


def test_half_a_pixel_is_the_mean_of_two(images: torch.Tensor) -> None:
    image = images[0].float()
    torch.testing.assert_close(shown(image, columns=0.5)[:, :, :-1], (image[:, :, 1:] + image[:, :, :-1]) / 2)
    torch.testing.assert_close(shown(image, rows=-0.25)[:, 1:], 0.75 * image[:, 1:] + 0.25 * image[:, :-1])


@pytest.mark.parametrize(
    ("fill", "wanted"),
    [("nearest", [10, 10, 10]), ("constant", [7, 7, 10]), ("reflect", [20, 10, 10]), ("wrap", [30, 40, 10])],
)
def test_what_stands_beyond_the_edges(fill: str, wanted: list[int]) -> None:
    """scipy's "wrap" has a period of one line less than the image: the last line lies on the first."""
    image = torch.tensor([10, 20, 30, 40, 50], dtype=torch.uint8).expand(3, 2, 5)
    assert shown(image, fill, columns=-2.0)[0, 0, :3].tolist() == wanted


def test_zoom_above_one_shows_more() -> None:
    image = torch.zeros(3, 16, 16)
    image[:, 4:12, 4:12] = 100
    assert shown(image, row_zoom=2.0, column_zoom=2.0).sum() == pytest.approx(float(image.sum()) / 4)
    assert shown(image, row_zoom=2.0).sum() == pytest.approx(float(image.sum()) / 2)
    assert shown(image, row_zoom=0.4, column_zoom=0.4).mean() == pytest.approx(100)


def test_one_image_depends_on_nothing_but_itself(images: torch.Tensor) -> None:
    spec = AugmentSpec(
        crop="pad", shift=0.2, subpixel=True, rotation=20, shear=10, zoom=(0.8, 1.2), flip=True, vertical_flip=True,
        channel_shift=20, brightness=(0.5, 1.5), fill="reflect",
    )  # fmt: skip
    augment = Augment(spec, 5, default_preprocess(SIDE))
    whole = augment(images, LABELS, INDICES, 3, 1)[0]
    some = np.array([40, 7])
    part = augment(images[some], LABELS[:2], some, 3, 1)[0]
    assert torch.equal(part, whole[some])
    assert not torch.equal(augment(images, LABELS, INDICES, 3, 2)[0], whole)


def test_shifts_of_rows_and_columns_apart(images: torch.Tensor) -> None:
    across = run(AugmentSpec(width_shift=0.25), images)
    constant = images[:, :, :, :1].expand(-1, -1, -1, SIDE)
    assert torch.equal(run(AugmentSpec(width_shift=0.25), constant), constant)
    assert not torch.equal(across, images)
    assert AugmentSpec(shift=0.1, height_shift=0.3).shifts == (0.3, 0.1)


def test_levels(images: torch.Tensor) -> None:
    bright = run(AugmentSpec(brightness=(1.5, 1.5)), images)
    assert torch.equal(bright, (images.float() * 1.5).floor().clamp(0, 255))
    narrow = (images // 4 + 100).float()
    moved = run(AugmentSpec(channel_shift=10), narrow)
    assert (moved.amin((1, 2, 3)) >= narrow.amin((1, 2, 3))).all()
    assert (moved.amax((1, 2, 3)) <= narrow.amax((1, 2, 3))).all()
    added = (moved - narrow).flatten(1).median(1).values
    assert -10 <= added.min() < -5 < 5 < added.max() <= 10


def test_upside_down(images: torch.Tensor) -> None:
    turned = [
        torch.equal(a, b.flip(1)) for a, b in zip(run(AugmentSpec(vertical_flip=True), images), images, strict=True)
    ]
    assert 16 <= sum(turned) <= 48


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"zoom": (1.2, 0.8)}, "the lower end first"),
        ({"brightness": (0.0, 1.0)}, "brightness"),
        ({"rotation": 181.0}, "rotation=181"),
        ({"fill": "mirror"}, "fill='mirror'"),
        ({"fill_value": 256.0}, "fill_value=256"),
        ({"height_shift": 1.0}, "height_shift=1"),
    ],
)
def test_what_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        AugmentSpec(**fields)  # type: ignore[arg-type]
