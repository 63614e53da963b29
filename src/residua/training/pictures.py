"""Pictures of a run as PNG files: the first batch as the network sees it, and the confusion matrix."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont

from residua.data.loader import Batch
from residua.figures.overlay import Pixels, coloured, shown
from residua.figures.palette import rgb
from residua.specs.preprocess import PreprocessSpec

_INK, _SOFT, _PAPER = map(rgb, ("ink", "soft", "paper"))
# Sizes of the drawing, pixels.
_SIDE, _GAP, _TEXT, _LARGEST = 112, 8, 11, 480
_COLUMNS, _IMAGES = 8, 32
_SHARE = 0.005  # of a label that mixes classes: less is not shown


def batch_picture(batch: Batch, preprocess: PreprocessSpec, classes: Sequence[str], most: int = _IMAGES) -> bytes:
    """Return the first `most` images of a batch with their labels, as the network sees them.

    Scaling is undone where the transform is a plain mean and deviation. Where it is not, each image is stretched to
    its own darkest and brightest number.
    """
    images = _levels(batch.images[:most].detach().float().cpu(), preprocess)
    labels = [_label(label, classes) for label in batch.labels[:most].cpu()]
    columns = min(_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    wide, high = _SIDE + _GAP, _SIDE + 2 * _GAP + _TEXT
    canvas = Image.new("RGB", (columns * wide + _GAP, rows * high + _GAP), _PAPER)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(_TEXT)
    for index, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        x, y = _GAP + index % columns * wide, _GAP + index // columns * high
        picture = shown(pixels, _SIDE)
        canvas.paste(picture, (x + (_SIDE - picture.width) // 2, y + (_SIDE - picture.height) // 2))
        while label and draw.textlength(label, font) > _SIDE:
            label = label[:-2] + "…" if label[-1] == "…" else label[:-1] + "…"
        draw.text((x, y + _SIDE + _GAP // 2), label, fill=_INK, font=font)
    return _png(canvas)


def confusion_picture(confusion: npt.NDArray[np.int64], classes: Sequence[str]) -> bytes:
    """Return the confusion matrix (K, K), rows the true classes: each cell's colour is its share of its row."""
    many = len(classes)
    share = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    side = max(1, _LARGEST // many)
    cells = Image.fromarray(coloured(share).round().astype(np.uint8)).resize(
        (many * side, many * side), Image.Resampling.NEAREST
    )
    font = ImageFont.load_default(_TEXT)
    margin = 2 * _GAP + _TEXT
    canvas = Image.new("RGB", (cells.width + 2 * margin, cells.height + 2 * margin), _PAPER)
    canvas.paste(cells, (margin, margin))
    draw = ImageDraw.Draw(canvas)
    foot = f"true classes downwards, predicted ones to the right: {', '.join(classes)}"
    while draw.textlength(foot, font) > cells.width:
        foot = foot[:-2] + "…" if foot[-1] == "…" else foot[:-1] + "…"
    draw.text((margin, margin + cells.height + _GAP // 2), foot, fill=_SOFT, font=font)
    return _png(canvas)


def _levels(images: torch.Tensor, preprocess: PreprocessSpec) -> list[Pixels]:
    values = images.permute(0, 2, 3, 1).numpy()
    if preprocess.image_center or preprocess.image_std or preprocess.whitening is not None:
        low, high = values.min(axis=(1, 2, 3), keepdims=True), values.max(axis=(1, 2, 3), keepdims=True)
        values = (values - low) / np.maximum(high - low, 1e-9)
    else:
        mean = np.array(preprocess.mean) if preprocess.mean_image is None else preprocess.mean_image.view()
        values = values * np.array(preprocess.std) + mean
    return list((255 * values).clip(0, 255).round().astype(np.uint8))


def _label(label: torch.Tensor, classes: Sequence[str]) -> str:
    """Return the name of a class, or of the classes that mixup has put together, each with its share."""
    if label.ndim == 0:
        return classes[int(label)]
    shares = sorted(((float(share), index) for index, share in enumerate(label)), reverse=True)
    named = [f"{classes[index]} {share:.0%}" for share, index in shares if share > _SHARE]
    return classes[shares[0][1]] if len(named) == 1 else ", ".join(named)


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()
