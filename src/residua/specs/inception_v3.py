"""Inception-v3 as a row of one dataclass; its fields say where torchvision, slim and Keras differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from residua.specs.fields import (
    AuxHeads,
    AuxWeight,
    Channels,
    Classes,
    Dropout,
    Epsilon,
    GlobalPool,
    InChannels,
    InputSize,
    Momentum,
    Name,
    Paper,
    Role,
)
from residua.specs.ranges import with_ranges
from residua.specs.schema import Spec

SZEGEDY_2015 = "Szegedy 2015, arXiv 1512.00567"


@with_ranges
@dataclass(frozen=True)
class InceptionV3Spec(Spec):
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
        global_pool: False: no average; the classifier answers at each position, (B, num_classes, h, w).
        num_classes: outputs; 0 or None: no classifier and no auxiliary ones, the pooled features come out.
        in_channels: channels of the input image.
        input_size: side of the square input that the network was published for, pixels.
    """

    family: ClassVar[str] = "inception_v3"

    name: Name
    paper: Paper = SZEGEDY_2015
    pool_widths: tuple[Channels, Channels, Channels] = (32, 64, 64)
    factor_widths: tuple[Channels, Channels, Channels, Channels] = (128, 160, 160, 192)
    pool_counts_padding: bool = True
    bn_scale: bool = True
    bn_eps: Epsilon = 1e-3
    bn_momentum: Momentum = 0.1
    aux_heads: AuxHeads = True
    aux_weight: AuxWeight = 0.4
    dropout: Dropout = 0.5
    initial: Annotated[Literal["variance_scaling", "normal"], Role("start")] = "variance_scaling"
    global_pool: GlobalPool = True
    num_classes: Classes = 1000
    in_channels: InChannels = 3
    input_size: InputSize = 299


ROWS: tuple[InceptionV3Spec, ...] = (InceptionV3Spec("inception_v3"),)
