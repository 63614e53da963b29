"""Inception-v3 as a row of one dataclass; its fields say where torchvision, slim and Keras differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from residua.specs import schema
from residua.specs.fields import aux_weight, norm_constants, positive, probability, settle

SZEGEDY_2015 = "Szegedy 2015, arXiv 1512.00567"


@dataclass(frozen=True)
class InceptionV3Spec:
    """Everything that makes one Inception-v3; `residua.families.inception_v3.Network` reads it.

    The defaults are torchvision's. Keras Applications' network has `bn_scale=False`, `pool_counts_padding=False`,
    `aux_heads=False`, `dropout=0`; slim's has the first two, and `dropout=0.2`.

    Attributes:
        name: the catalog's name, kept through edits.
        paper: where the network was published.
        pool_widths: channels behind the average pool in Mixed_5b, 5c, 5d.
        factor_widths: inner channels of the 1×7 and 7×1 convolutions in Mixed_6b, 6c, 6d, 6e.
        pool_counts_padding: whether the 3×3 average pools count the zeros at the border (torchvision); without, they
            average the pixels that exist (TensorFlow). The border's values differ by up to 9/4.
        bn_scale: whether batch normalisation has a gamma; slim's and Keras's has none.
        bn_eps: epsilon of batch normalisation.
        bn_momentum: weight of the new batch in the running statistics (torch's convention).
        aux_heads: the classifier on Mixed_6e that training adds (section 4). Evaluation never runs it.
        aux_weight: weight of its loss in training. The paper gives none; 0.4 is that of the authors' code
            (tensorflow/models, inception_model.py, and slim's train_image_classifier.py).
        dropout: drop probability before the classifier.
        initial: how weights start: "variance_scaling" (slim's: normal with variance 2 / fan-in) or "normal"
            (torchvision's: deviation 0.1). Behind batch normalisation both compute one function in training; but with
            the second, values overflow float32 in evaluation until the running statistics have followed.
        num_classes: outputs.
        in_channels: channels of the input image.
        input_size: side of the square input that the network was published for, pixels.
    """

    name: str
    paper: str = SZEGEDY_2015
    pool_widths: tuple[int, int, int] = (32, 64, 64)
    factor_widths: tuple[int, int, int, int] = (128, 160, 160, 192)
    pool_counts_padding: bool = True
    bn_scale: bool = True
    bn_eps: float = 1e-3
    bn_momentum: float = 0.1
    aux_heads: bool = True
    aux_weight: float = 0.4
    dropout: float = 0.5
    initial: Literal["variance_scaling", "normal"] = "variance_scaling"
    num_classes: int = 1000
    in_channels: int = 3
    input_size: int = 299

    @property
    def family(self) -> str:
        """The name of the family's module."""
        return "inception_v3"

    def edit(self, **edits: Any) -> Self:
        """Return a copy with some fields changed; unknown fields are refused with the nearest name."""
        return schema.edit(self, **edits)

    def __post_init__(self) -> None:
        settle(self)
        positive(self, "pool_widths", "factor_widths", "num_classes", "in_channels", "input_size")
        probability(self, "dropout")
        norm_constants(self)
        aux_weight(self)


ROWS: tuple[InceptionV3Spec, ...] = (InceptionV3Spec("inception_v3"),)
