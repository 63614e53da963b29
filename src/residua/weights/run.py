"""A trained run, ready to use: the network with its classes and its preprocessing."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn

from residua._base.errors import InputError
from residua._base.files import check_name
from residua.data.decode import decode
from residua.data.preprocess import apply_uint8, normalise
from residua.families.build import outline
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.bundle.bundle import load_bundle


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
        calibration: `temperature` of the probabilities and how it was fitted (`residua evaluate --calibrate`), or None.
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
    calibration: dict[str, Any] | None = field(repr=False, default=None)

    @property
    def temperature(self) -> float:
        """What logits are divided by before they become probabilities; 1 where none was fitted."""
        return float(self.calibration["temperature"]) if self.calibration else 1.0

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

    def save_pretrained(self, folder: Path | str) -> Path:
        """Write the run in the Hub's layout: model.safetensors, config.json (timm's form), README.md; return `folder`.

        The weights are those of `model` now. A README.md that is there is kept.

        Raises:
            InputError: `model` no longer fits `spec`.
        """
        from residua.weights.publish import save_pretrained

        return save_pretrained(self, Path(folder))

    @classmethod
    def from_pretrained(cls, name: Path | str, model: str | Spec | None = None) -> Run:
        """Load a folder that `save_pretrained` wrote, or "ORG/REPO" from the Hub, or whatever `load` takes.

        Raises:
            InputError: as `load`.
        """
        from residua.weights.publish import hub_name

        return load(hub_name(name), model)


def load(name: Path | str, model: str | Spec | None = None) -> Run:
    """Load a trained run, or weights by name as if they were one.

    Args:
        name: a run folder, of which nothing but model.safetensors and config.json is read; or whatever `create_model`
            takes as weights: "hf://ORG/REPO", "torchvision:IMAGENET1K_V2", "timm:TAG", an address, a file.
        model: the network, where the weights do not say it themselves.

    Raises:
        InputError: as `load_bundle`; weights that cannot be had or do not fit, or do not say for which network or
            which preprocessing they are.
    """
    from residua.weights.publish import is_strangers, load_strangers

    check_name("run", name)
    if model is not None or is_strangers(name):
        return load_strangers(name, model)
    bundle = load_bundle(name)
    return assembled(
        bundle.tensors,
        folder=bundle.folder,
        spec=bundle.spec,
        classes=bundle.classes,
        preprocess_spec=bundle.preprocess,
        metrics=bundle.metrics,
        data=bundle.data,
        recipe=bundle.recipe,
        initial_weights=bundle.initial_weights,
        versions=bundle.versions,
        weights_sha256=bundle.weights_sha256,
        calibration=bundle.calibration,
    )


def assembled(tensors: Mapping[str, Tensor], *, spec: Spec, **fields: Any) -> Run:
    """Return a run of checked tensors, which become the parameters; nothing is initialised only to be overwritten."""
    model = outline(spec)
    wanted = model.state_dict()
    model.load_state_dict({name: t.to(wanted[name].dtype) for name, t in tensors.items()}, strict=True, assign=True)
    return Run(model=model.eval(), spec=spec, **fields)


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
