"""What a graph takes and gives: normalised floats and logits, or pixels and probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from residua.data.decode import Pixels
from residua.data.preprocess.normalise import normalise
from residua.specs.preprocess import STD_EPSILON, PreprocessSpec
from residua.weights.run import Run


class FromPixels(nn.Module):
    """The network with its preprocessing inside, but for resize and crop: uint8 (B, H, W, 3) -> probabilities (B, K).

    It normalises as `residua.data.preprocess.normalise` does, in the same order, and divides logits by the temperature.
    With `gives_logits` the network's logits (B, K) are a second output. Where an image may have several labels, each
    probability is the sigmoid of its logit.
    """

    scale: Tensor
    offset: Tensor
    whitening: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        preprocess: PreprocessSpec,
        temperature: float,
        *,
        gives_logits: bool = False,
        multilabel: bool = False,
    ) -> None:
        super().__init__()
        self._gives_logits, self._multilabel = gives_logits, multilabel
        self.network, self.temperature = network, temperature
        self._center, self._std = preprocess.image_center, preprocess.image_std
        white = 1 if self._center or self._std else 255
        mean = torch.tensor(preprocess.mean) if preprocess.mean_image is None else _tensor(preprocess.mean_image)
        self.register_buffer("scale", torch.tensor([1 / (white * deviation) for deviation in preprocess.std]))
        self.register_buffer("offset", -mean / torch.tensor(preprocess.std))
        self.register_buffer("whitening", None if preprocess.whitening is None else _tensor(preprocess.whitening))

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        levels = images.float()
        if self._center or self._std:
            levels = levels * (1 / 255)
            if self._center:
                levels = levels - levels.mean((1, 2, 3), keepdim=True)
            if self._std:
                centred = levels - levels.mean((1, 2, 3), keepdim=True)
                levels = levels / ((centred * centred).mean((1, 2, 3), keepdim=True).sqrt() + STD_EPSILON)
        values = levels * self.scale + self.offset
        if self.whitening is not None:
            values = (values.flatten(1) @ self.whitening).reshape(values.shape)
        logits: Tensor = self.network(values.permute(0, 3, 1, 2))
        probabilities = logits.sigmoid() if self._multilabel else (logits / self.temperature).softmax(1)
        return (probabilities, logits) if self._gives_logits else probabilities


@dataclass(frozen=True, eq=False)
class GraphForm:
    """What a graph takes and gives.

    Attributes:
        preprocess: of the run.
        temperature: of the run.
        with_preprocessing: whether the graph takes uint8 (B, H, W, 3) and gives probabilities; else it takes
            normalised float32 (B, 3, H, W) and gives logits.
        any_size: whether it resizes and crops too, and H and W are free.
        gives_logits: whether logits are an output behind the probabilities.
        thresholds: from which probability on an image has each label, (K,), where it may have several; else ().
    """

    preprocess: PreprocessSpec
    temperature: float
    with_preprocessing: bool
    any_size: bool = False
    gives_logits: bool = False
    thresholds: tuple[float, ...] = ()

    @classmethod
    def of(cls, run: Run, *, with_preprocessing: bool) -> GraphForm:
        """Return the form of a run's graph."""
        thresholds = run.multilabel.thresholds if run.multilabel else ()
        return cls(run.preprocess_spec, run.temperature, with_preprocessing, thresholds=thresholds)

    @property
    def output(self) -> str:
        """Return the name of the graph's output, of the first where it has two."""
        return "probabilities" if self.with_preprocessing else "logits"

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of all outputs."""
        return (self.output, "logits") if self.gives_logits else (self.output,)

    def example(self, count: int) -> Tensor:
        """Return zeros of the shape and type of a batch."""
        height, width = self.preprocess.size
        if self.with_preprocessing:
            return torch.zeros(count, height, width, 3, dtype=torch.uint8)
        return torch.zeros(count, 3, height, width)

    def around(self, network: nn.Module) -> nn.Module:
        """Return the module to export, given (B, 3, H, W) -> logits."""
        if not self.with_preprocessing:
            return network
        several, gives_logits = bool(self.thresholds), self.gives_logits
        around = FromPixels(network, self.preprocess, self.temperature, gives_logits=gives_logits, multilabel=several)
        return around.eval()

    def fed(self, pixels: Pixels) -> Tensor:
        """Return what the graph takes for uint8 (B, H, W, 3), resized and cropped."""
        batch = torch.from_numpy(np.ascontiguousarray(pixels))
        if self.with_preprocessing:
            return batch
        return normalise(batch.permute(0, 3, 1, 2), self.preprocess).contiguous()

    def expected(self, logits: Tensor) -> Tensor:
        """Return what the graph should give where the network gives these logits."""
        if not self.with_preprocessing:
            return logits.float()
        return logits.float().sigmoid() if self.thresholds else (logits.float() / self.temperature).softmax(1)

    def answers(self, outputs: Tensor) -> Tensor:
        """Return what outputs (N, K) decide, to be compared: the most probable class (N,), or each label (N, K).

        -1 stands for an output that is NaN, which agrees with nothing.
        """
        if not self.thresholds:
            return torch.where(outputs.isnan().any(1), -1, outputs.argmax(1))
        probabilities = (outputs if self.with_preprocessing else outputs.sigmoid()).double()
        decided = (probabilities >= torch.tensor(self.thresholds, dtype=torch.float64)).long()
        return torch.where(outputs.isnan(), -1, decided)


Answers = Callable[[Tensor], Tensor]
"""A graph that was opened: what it takes -> what it gives, on the CPU."""


def _tensor(array: object) -> Tensor:
    return torch.from_numpy(np.array(array.view()))  # type: ignore[attr-defined]
