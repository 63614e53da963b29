"""Inception-v4 as a row of one dataclass; its fields say where slim, timm and Keras differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

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
    UnitCount,
)
from residua.specs.ranges import with_ranges
from residua.specs.schema import Spec

SZEGEDY_2016 = "Szegedy 2016, arXiv 1602.07261"


@with_ranges
@dataclass(frozen=True)
class InceptionV4Spec(Spec):
    """Everything that makes one Inception-v4; `residua.families.inception_v4.Network` reads it.

    The defaults are timm's, and the paper's dropout. slim's checkpoint has `aux_heads=True`, `bn_scale=False`,
    `bn_momentum=0.0003` and 1001 classes, the first of which is background.

    Attributes:
        name: the catalog's name, kept through edits.
        paper: where the network was published.
        depths: how many Inception-A, -B and -C modules (figure 9).
        reduction_a: filters k, l, m, n of the module between A and B (figure 7 and table 1). They are the reducing 1×1,
            the 3×3 and the strided 3×3 of its longer branch, and its shorter branch.
        bn_scale: whether batch normalisation has a gamma; slim's has none.
        bn_eps: epsilon of batch normalisation.
        bn_momentum: weight of the new batch in the running statistics (torch's convention).
        aux_heads: the classifier that training adds on the last Inception-B (slim). Evaluation never runs it.
        aux_weight: weight of its loss in training. The paper gives none; 0.4 is slim's (train_image_classifier.py).
        dropout: drop probability before the classifier (figure 9: keep 0.8).
        global_pool: False: no average; the classifier answers at each position, (B, num_classes, h, w).
        num_classes: outputs; 0 or None: no classifier and no auxiliary ones, the pooled features come out.
        in_channels: channels of the input image.
        input_size: side of the square input that the network was published for, pixels.
    """

    family: ClassVar[str] = "inception_v4"

    name: Name
    paper: Paper = SZEGEDY_2016
    depths: tuple[UnitCount, UnitCount, UnitCount] = (4, 7, 3)
    reduction_a: tuple[Channels, Channels, Channels, Channels] = (192, 224, 256, 384)
    bn_scale: bool = True
    bn_eps: Epsilon = 1e-3
    bn_momentum: Momentum = 0.1
    aux_heads: AuxHeads = False
    aux_weight: AuxWeight = 0.4
    dropout: Dropout = 0.2
    global_pool: GlobalPool = True
    num_classes: Classes = 1000
    in_channels: InChannels = 3
    input_size: InputSize = 299


ROWS: tuple[InceptionV4Spec, ...] = (InceptionV4Spec("inception_v4"),)
