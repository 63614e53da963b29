"""Inception-ResNet-v2 as a row of one dataclass; its fields say where the paper, slim, timm and Keras differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from residua.specs.fields import (
    AuxHeads,
    AuxWeight,
    Channels,
    ChannelsOrNone,
    Classes,
    Dropout,
    Epsilon,
    Factor,
    GlobalPool,
    InChannels,
    InputSize,
    Momentum,
    Name,
    Paper,
    UnitCount,
)
from residua.specs.inception_v4 import SZEGEDY_2016
from residua.specs.ranges import with_ranges
from residua.specs.schema import Spec


@with_ranges
@dataclass(frozen=True)
class InceptionResNetSpec(Spec):
    """Everything that makes one Inception-ResNet-v2; `residua.families.inception_resnet.Network` reads it.

    The defaults are the network that slim released and timm and Keras took over, not that of the paper's figures.
    Keras has `bn_scale=False` and `dropout=0`; slim's checkpoint has `aux_heads=True`, `bn_scale=False`,
    `bn_momentum=0.0003` and 1001 classes. The paper's figures 15 to 19 have `depths=(5, 10, 5)`, `stem="v4"`,
    `last_width=0`, `last_scale=0.2`, `last_relu=True`; two widths that they print, 1154 and 2048, cannot be added to
    what enters, 1152 and 2144.

    Attributes:
        name: the catalog's name, kept through edits.
        paper: where the network was published.
        depths: how many residual modules at 35×35 (A), 17×17 (B) and 8×8 (C, the last one included).
        residual_scales: factors of the residuals of A, B and C before they are added; section 3.3: 0.1 to 0.3 keep
            training stable.
        last_scale: the factor of the last C.
        last_relu: whether the last C ends in a ReLU as the others do.
        stem: "v3": Inception-v3's and one mixed module (slim, Mixed_5b); "v4": Inception-v4's (figure 3).
        reduction_a: filters k, l, m, n of the module between A and B (figure 7 and table 1). They are the reducing 1×1,
            the 3×3 and the strided 3×3 of its longer branch, and its shorter branch.
        last_width: filters of the 1×1 convolution before the classifier (slim, Conv2d_7b_1x1); 0: none.
        bn_scale: whether batch normalisation has a gamma; slim's and Keras's has none.
        bn_eps: epsilon of batch normalisation.
        bn_momentum: weight of the new batch in the running statistics (torch's convention).
        aux_heads: the classifier that training adds on the last B (slim, PreAuxLogits). Evaluation never runs it.
        aux_weight: weight of its loss in training. The paper gives none; 0.4 is slim's (train_image_classifier.py).
        dropout: drop probability before the classifier (figure 15: keep 0.8).
        global_pool: False: no average; the classifier answers at each position, (B, num_classes, h, w).
        num_classes: outputs; 0 or None: no classifier and no auxiliary ones, the pooled features come out.
        in_channels: channels of the input image.
        input_size: side of the square input that the network was published for, pixels.
    """

    family: ClassVar[str] = "inception_resnet"

    name: Name
    paper: Paper = SZEGEDY_2016
    depths: tuple[UnitCount, UnitCount, UnitCount] = (10, 20, 10)
    residual_scales: tuple[Factor, Factor, Factor] = (0.17, 0.10, 0.20)
    last_scale: Factor = 1.0
    last_relu: bool = False
    stem: Literal["v3", "v4"] = "v3"
    reduction_a: tuple[Channels, Channels, Channels, Channels] = (256, 256, 384, 384)
    last_width: ChannelsOrNone = 1536
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


ROWS: tuple[InceptionResNetSpec, ...] = (InceptionResNetSpec("inception_resnet_v2"),)
