"""A trained run, ready to use: the network with its classes and its preprocessing."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from residua._base.errors import InputError
from residua._base.words import html_table, some
from residua.data.decode import decode, decode_opened
from residua.data.preprocess.normalise import normalise
from residua.data.preprocess.resize import read_uint8
from residua.families.build import outline
from residua.families.features import PENULTIMATE, FeatureNetwork, unit_length
from residua.specs.multilabel import LabelThresholds
from residua.specs.preprocess import PreprocessSpec
from residua.specs.rejection import Rejection
from residua.specs.schema import Spec
from residua.weights.bundle.value import Bundle, rejection_of
from residua.weights.named.locate import hub_name
from residua.weights.named.open_bundle import open_bundle
from residua.weights.prediction import Prediction
from residua.weights.publish import publish

Picture = Path | str | bytes | Image.Image | np.ndarray[Any, Any]
"""An image as `Run.preprocess` takes it."""


@dataclass(frozen=True, eq=False)
class Run:
    """A network and its bundle, as `load` returns them.

    Attributes:
        model: the network in eval mode, on the CPU: (B, 3, H, W) float -> logits (B, K).
        bundle: all else that a run states: its spec, classes, preprocessing, metrics, provenance.
    """

    model: nn.Module = field(repr=False)
    bundle: Bundle

    @classmethod
    def of(cls, bundle: Bundle, tensors: Mapping[str, Tensor]) -> Run:
        """Return a run of checked tensors, which become the parameters; nothing is initialised only to be replaced."""
        model = outline(bundle.spec)
        types = {name: tensor.dtype for name, tensor in model.state_dict().items()}
        state = {name: tensor.to(types[name]) for name, tensor in tensors.items()}
        model.load_state_dict(state, strict=True, assign=True)
        return cls(model.eval(), bundle)

    @property
    def folder(self) -> Path:
        """Return where it was loaded from."""
        return self.bundle.folder

    @property
    def name(self) -> str:
        """Return its folder's name, with an epoch behind it where these are the weights that its training kept then."""
        kept = self.bundle.kept
        return f"{self.folder.resolve().name}{f'/{kept}' if kept else ''}"

    @property
    def spec(self) -> Spec:
        """Return the network's spec."""
        return self.bundle.spec

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names in the order of the logits."""
        return self.bundle.classes

    @property
    def preprocess_spec(self) -> PreprocessSpec:
        """Return the evaluation transform as data."""
        return self.bundle.preprocess

    @property
    def metrics(self) -> dict[str, Any]:
        """Return what the training run measured."""
        return self.bundle.metrics

    @property
    def data(self) -> dict[str, Any]:
        """Return the description of the data set that it was trained on."""
        return self.bundle.data

    @property
    def recipe(self) -> dict[str, Any] | None:
        """Return the complete recipe, or None."""
        return self.bundle.recipe

    @property
    def initial_weights(self) -> dict[str, Any] | None:
        """Return `given` and `sha256` of the weights that the training began with, or None."""
        return self.bundle.initial_weights

    @property
    def versions(self) -> dict[str, str]:
        """Return the versions of Residua, torch and Python when it was written."""
        return self.bundle.versions

    @property
    def weights_sha256(self) -> str:
        """Return the SHA-256 of the tensors alone."""
        return self.bundle.weights_sha256

    @property
    def calibration(self) -> dict[str, Any] | None:
        """Return the `temperature` of the probabilities and how it was fitted, or None."""
        return self.bundle.calibration

    @property
    def temperature(self) -> float:
        """What logits are divided by before they become probabilities; 1 where none was fitted."""
        return float(self.calibration["temperature"]) if self.calibration else 1.0

    @property
    def multilabel(self) -> LabelThresholds | None:
        """The thresholds of the labels where an image may have several; None where it has one."""
        return self.bundle.multilabel

    @property
    def rejection(self) -> Rejection | None:
        """The score from which on an answer is "unknown", or None."""
        return rejection_of(self.calibration)

    def preprocess(self, image: Picture) -> Tensor:
        """Return the float tensor (3, H, W) that the network expects, of `preprocess_spec.size`.

        Args:
            image: a file's path or its bytes, a Pillow image, or a uint8 array: (H, W, 3) RGB or (H, W) grey.

        Raises:
            InputError: an image that cannot be decoded, or an array of another type or shape.
        """
        pixels = read_uint8(lambda: pixels_of(image), self.preprocess_spec)
        batch = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
        return normalise(batch, self.preprocess_spec)[0]

    def embed(
        self, images: Picture | Sequence[Picture], *, point: str = PENULTIMATE, normalise: bool = True
    ) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return what the network holds of each image, float32 (N, D), in one batch where `model` is.

        Args:
            images: one image as `preprocess` takes it, or several.
            point: the end point to read: "penultimate" for what the classifier reads, or a name that
                `forward_intermediates` has, such as "layer3". A map becomes its mean over positions.
            normalise: divide each vector by its length, so that a product of two is their cosine.

        Raises:
            InputError: as `preprocess`; an unknown end point; no image.
        """
        several = images if isinstance(images, Sequence) and not isinstance(images, str | bytes) else [images]
        if not several:
            raise InputError("no image", "at least one image", "Give an image, or a list of them")
        device = next(self.model.parameters()).device
        batch = torch.stack([self.preprocess(image) for image in several]).to(device)
        features = FeatureNetwork(self.model, point).features(batch)
        return (unit_length(features) if normalise else features).cpu().numpy()

    def predict(self, images: Any, **options: Any) -> list[Prediction]:
        """Return the answers for images: `residua.predict(run, images, …)`.

        Args:
            images: paths, encoded bytes, open files, Pillow images, uint8 arrays (H, W, 3), or a list of these.
            options: as `residua.predict`.

        Raises:
            InputError: as `residua.predict`.
        """
        answers: list[Prediction] = _public("predict")(self, images, **options)
        return answers

    def predict_frame(self, images: Any, **options: Any) -> Any:
        """Return the answers as a table of pandas or polars: `residua.predict_frame(run, images, …)`.

        Raises:
            InputError: as `residua.predict_frame`.
        """
        return _public("predict_frame")(self, images, **options)

    def _repr_html_(self) -> str:
        """Return the run as a notebook shows it."""
        measure, key = ("mAP", "mean_average_precision") if self.multilabel else ("top-1", "top1")
        rate = self.metrics.get(key)
        rows = [
            ("network", self.spec.name),
            ("classes", some(self.classes, 8) or "none"),
            ("image", " × ".join(map(str, self.preprocess_spec.size))),
            (measure, f"{rate:.2%}" if isinstance(rate, int | float) else "not measured"),
            ("folder", self.folder),
        ]
        return html_table(f"Run {self.name}", rows)

    def save_pretrained(self, folder: Path | str) -> Path:
        """Write the run in the Hub's layout: model.safetensors, config.json (timm's form), README.md; return `folder`.

        The weights are those of `model` now. A README.md that exists is kept.

        Raises:
            InputError: `model` no longer fits `spec`.
        """
        return publish(self.model, self.bundle, Path(folder))

    @classmethod
    def from_pretrained(cls, name: Path | str, model: str | Spec | None = None) -> Run:
        """Load a folder that `save_pretrained` wrote, or "ORG/REPO" from the Hub, or whatever `load` takes.

        Raises:
            InputError: as `load`.
        """
        return cls.of(*open_bundle(hub_name(name), model))


def _public(name: str) -> Any:
    """Return a public function of the package: methods of a run are short for those, which stand on higher floors."""
    return getattr(sys.modules[__name__.partition(".")[0]], name)


def pixels_of(image: Picture) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return an image as uint8 (H, W, 3), RGB.

    Raises:
        InputError: an image that cannot be decoded, or an array of another type or shape.
    """
    if isinstance(image, (str, Path)):
        return decode(Path(image))
    if isinstance(image, Image.Image):
        return decode_opened(image)
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
