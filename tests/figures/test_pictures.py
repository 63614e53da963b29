"""Overlays and contact sheets: colours, places, sizes, bounded memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from residua.figures import contact_sheets as module
from residua.figures.contact_sheets import ContactSheets, Panel, write_panel
from residua.figures.overlay import coloured, overlay, scaled, shown


def lab(colours: np.ndarray) -> np.ndarray:
    """sRGB in 0..255 -> CIELAB (D65), from the definitions of IEC 61966-2-1 and CIE 15."""
    value = colours / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    x = linear @ np.array(matrix).T / (0.95047, 1, 1.08883)
    f = np.where(x > (6 / 29) ** 3, np.cbrt(x), x / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def test_the_colours_are_perceptually_even() -> None:
    found = lab(coloured(np.linspace(0, 1, 65)))
    steps = np.linalg.norm(np.diff(found, axis=0), axis=1)
    assert steps.max() / steps.min() < 1.2
    assert np.diff(found[:, 0]).min() > 0, "the lightness only rises"
    assert found[-1, 0] - found[0, 0] > 70


def test_scaled() -> None:
    ramp = np.arange(100.0).reshape(10, 10)
    assert scaled(ramp).max() == 1
    assert scaled(7 * ramp) == pytest.approx(scaled(ramp))
    assert scaled(np.zeros((4, 4))).max() == 0
    spike = np.zeros((100, 100))
    spike[3, 4] = 1e-9
    assert scaled(spike)[3, 4] == 1, "a map whose 99th percentile is nothing still shows its peak"


def test_the_overlay_shines_where_the_evidence_is() -> None:
    grey = np.full((32, 32, 3), 128, np.uint8)
    evidence = np.zeros((32, 32))
    evidence[20:28, 4:12] = 1
    picture = np.asarray(overlay(grey, evidence, 160)).astype(float)
    assert picture.shape == (160, 160, 3)
    yellow = picture[..., 0] - picture[..., 2]
    inside, outside = yellow[105:135, 25:55], yellow[:90]
    assert inside.min() > 60 > outside.max()
    nothing = np.asarray(overlay(grey, np.zeros((32, 32)), 160))
    assert (nothing == nothing[0, 0]).all()


def test_small_images_keep_their_pixels_and_large_ones_their_shape() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    found = np.asarray(shown(pixels, 100))
    assert found.shape == (96, 96, 3)
    assert (found[6::12, 6::12] == pixels).all()
    assert shown(np.zeros((300, 400, 3), np.uint8), 160).size == (160, 120)


def panel(value: int = 0, *lines: str) -> Panel:
    return Panel(np.full((16, 16, 3), value, np.uint8), np.eye(16), lines or ("a", "b"))


def test_a_panel(tmp_path: Path) -> None:
    out = tmp_path / "one.png"
    write_panel(out, panel(9, "first", "a line " * 100, "tab\tand\nnewline", "Ünïcödé 猫"))
    with Image.open(out) as picture:
        assert picture.format == "PNG"
        assert picture.width == 2 * 448 + 8 + 40
        assert picture.getpixel((25, 25)) == (9, 9, 9)
    assert list(tmp_path.iterdir()) == [out]


def test_sheets_are_written_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    save = module._save
    monkeypatch.setattr(module, "_save", lambda canvas, path: (held.append(len(sheets._panels)), save(canvas, path)))
    sheets = ContactSheets(tmp_path / "s.png", "title " * 100, columns=2, rows=2, side=32)
    where = [sheets.add(panel(20 * number)) for number in range(9)]
    assert len(sheets.written) == 2, "full sheets do not wait"
    sheets.close()
    sheets.close()
    assert sheets.written == [tmp_path / name for name in ("s.png", "s-2.png", "s-3.png")]
    assert where == [sheets.written[number // 4] for number in range(9)]
    assert held == [4, 4, 1]
    assert sorted(tmp_path.iterdir()) == sorted(sheets.written)
    with Image.open(where[0]) as first, Image.open(where[-1]) as last:
        left, top = 20, 20 + 36
        step = 2 * 32 + 8 + 20
        assert first.getpixel((left + 2, top + 2)) == (0, 0, 0)
        assert first.getpixel((left + step + 2, top + 2)) == (20, 20, 20)
        assert last.getpixel((left + 2, top + 2)) == (160, 160, 160)
