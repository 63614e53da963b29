"""A trained run, ready to use: the network with its classes and its preprocessing."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from residua._base.errors import InputError
from residua.data.decode import decode
from residua.data.preprocess import apply_uint8, normalise
from residua.families.build import build
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.bundle import load_bundle


@dataclass(frozen=True, eq=False)
class Run:
    """What `load` returns.

    Attributes:
        folder: where it was loaded from.
        model: the network in eval mode, on the CPU: (B, 3, H, W) float -> logits (B, K).
        spec: the network's spec.
        classes: names in the order of the logits.
        preprocess_spec: the evaluation transform as data.
        metrics: what the training run measured.
        data: the description of the data set that it was trained on.
        recipe: the complete recipe, or None.
        initial_weights: `given` and `sha256` of the weights that the training began with, or None.
        versions: of Residua, torch and Python when it was written.
        weights_sha256: of the tensors alone.
    """

    folder: Path
    model: nn.Module = field(repr=False)
    spec: Spec
    classes: tuple[str, ...]
    preprocess_spec: PreprocessSpec
    metrics: dict[str, Any]
    data: dict[str, Any] = field(repr=False)
    recipe: dict[str, Any] | None = field(repr=False)
    initial_weights: dict[str, Any] | None = field(repr=False)
    versions: dict[str, str] = field(repr=False)
    weights_sha256: str = field(repr=False)

    def preprocess(self, image: Path | str | bytes | Image.Image | np.ndarray[Any, Any]) -> Tensor:
        """Return the float tensor (3, H, W) that the network expects, H = W = `preprocess_spec.image_size`.

        Args:
            image: a file's path or its bytes, a Pillow image, or a uint8 array: (H, W, 3) RGB or (H, W) grey.

        Raises:
            InputError: an image that cannot be decoded, or an array of another type or shape.
        """
        pixels = apply_uint8(_pixels(image), self.preprocess_spec)
        batch = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
        return normalise(batch, self.preprocess_spec)[0]


def load(folder: Path | str) -> Run:
    """Load a run folder; nothing but its model.safetensors and config.json is read.

    Raises:
        InputError: as `load_bundle`.
    """
    bundle = load_bundle(folder)
    with torch.device("meta"):
        model = build(bundle.spec)
    # assign: the checked tensors become the parameters; nothing is initialised only to be overwritten.
    wanted = model.state_dict()
    tensors = {name: tensor.to(wanted[name].dtype) for name, tensor in bundle.tensors.items()}
    model.load_state_dict(tensors, strict=True, assign=True)
    return Run(
        folder=bundle.folder,
        model=model.eval(),
        spec=bundle.spec,
        classes=bundle.classes,
        preprocess_spec=bundle.preprocess,
        metrics=bundle.metrics,
        data=bundle.data,
        recipe=bundle.recipe,
        initial_weights=bundle.initial_weights,
        versions=bundle.versions,
        weights_sha256=bundle.weights_sha256,
    )


def _pixels(
    image: Path | str | bytes | Image.Image | np.ndarray[Any, Any],
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    if isinstance(image, (str, Path)):
        return decode(Path(image))
    if isinstance(image, Image.Image):
        image = _encoded(image)
    if isinstance(image, bytes):
        return decode(image)
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = f"an array of {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"image is {kind}", "a path, bytes, a Pillow image or a uint8 array (H, W, 3)", "Convert it")
    if image.ndim == 2:
        image = np.repeat(image[:, :, None], 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise InputError(
            f"an array of shape {image.shape}", "(H, W, 3) in RGB, or (H, W) in grey", "Give one image, channels last"
        )
    return image


def _encoded(image: Image.Image) -> bytes:
    # Through a lossless file, so that every mode takes the one path that files take.
    stream = io.BytesIO()
    try:
        ImageOps.exif_transpose(image).save(stream, format="PNG", compress_level=1)
    except OSError:  # PNG lacks CMYK, YCbCr and LAB
        stream = io.BytesIO()
        ImageOps.exif_transpose(image).save(stream, format="TIFF")
    return stream.getvalue()
