"""GoogLeNet as rows of one dataclass: the 2014 network, and torchvision's with batch normalisation."""

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

Branches = tuple[Channels, Channels, Channels, Channels, Channels, Channels]

SZEGEDY_2014 = "Szegedy 2014, arXiv 1409.4842"

# Table 1: #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool proj of the modules 3a, 3b, 4a, …, 5b.
_TABLE_1: tuple[Branches, ...] = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)
MODULES = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")


@with_ranges
@dataclass(frozen=True)
class GoogLeNetSpec(Spec):
    """Everything that makes one GoogLeNet; `residua.families.googlenet.Network` reads it.

    The defaults are the network of Szegedy 2014 as BVLC's Caffe has it (models/bvlc_googlenet).

    Attributes:
        name: the catalog's name, kept through edits.
        paper: where the network was published.
        widths: of each of the nine modules 3a … 5b: 1×1, reduction before the 3×3, 3×3, reduction before the 5×5,
            5×5, projection behind the pool (table 1).
        branch3_kernel: side of the third branch's kernel: 5 as published; 3 in torchvision.
        batch_norm: batch normalisation behind each convolution, which then has no bias (torchvision).
        lrn: local response normalisation behind the first pool and before the second (figure 3).
        last_pool: side of the window of the last max-pool: 3 as published, 2 in torchvision. Strides are 2.
        aux_heads: the two classifiers on 4a and 4d that training adds (section 5). Evaluation never runs them.
        aux_pool: what they read: "window" (average over 5×5, stride 3, as published) or "adaptive" (4×4 averages of
            the whole map, torchvision). They differ: adaptive windows are 4 wide at the published size.
        aux_weight: weight of each auxiliary loss in training (section 5: 0.3).
        dropout: drop probability before the classifier.
        aux_dropout: the same in the auxiliary classifiers.
        initial: how weights start: "xavier" (Caffe's: uniform with variance 1 / fan-in, biases 0.2, the classifiers'
            0) or "normal" (torchvision's: deviation 0.01).
        end_points: whose names `parts` gives: "caffe" (`inception_3a/output`) or "torchvision" (`inception3a`).
        bn_eps: epsilon of batch normalisation.
        bn_momentum: weight of the new batch in the running statistics (torch's convention).
        global_pool: False: no average; the classifier answers at each position, (B, num_classes, h, w).
        num_classes: outputs; 0 or None: no classifier and no auxiliary ones, the pooled features come out.
        in_channels: channels of the input image.
        input_size: side of the square input that the network was published for, pixels.
    """

    family: ClassVar[str] = "googlenet"

    name: Name
    paper: Paper = SZEGEDY_2014
    widths: tuple[Branches, ...] = _TABLE_1
    branch3_kernel: int = 5
    batch_norm: bool = False
    lrn: bool = True
    last_pool: int = 3
    aux_heads: AuxHeads = True
    aux_pool: Annotated[Literal["window", "adaptive"], Role("training")] = "window"
    aux_weight: AuxWeight = 0.3
    dropout: Dropout = 0.4
    aux_dropout: Dropout = 0.7
    initial: Annotated[Literal["xavier", "normal"], Role("start")] = "xavier"
    end_points: Annotated[Literal["caffe", "torchvision"], Role("names")] = "caffe"
    bn_eps: Epsilon = 1e-3
    bn_momentum: Momentum = 0.1
    global_pool: GlobalPool = True
    num_classes: Classes = 1000
    in_channels: InChannels = 3
    input_size: InputSize = 224

    def check(self) -> None:
        if len(self.widths) != len(MODULES):
            self.refuse(
                f"widths of {len(self.widths)} modules",
                f"six widths for each of the {len(MODULES)} modules {', '.join(MODULES)}",
                f"Leave widths out for table 1 of {SZEGEDY_2014}",
            )
        for field, legal in (("branch3_kernel", (3, 5)), ("last_pool", (2, 3))):
            if getattr(self, field) not in legal:
                self.refuse(
                    f"{field}={getattr(self, field)}",
                    f"{legal[0]} or {legal[1]}",
                    f"Leave it out for {getattr(type(self), field)}, as published",
                )


ROWS: tuple[GoogLeNetSpec, ...] = (
    GoogLeNetSpec("googlenet"),
    # torchvision's weights were trained in TensorFlow and ported: with 3×3 where the paper has 5×5, and without LRN.
    GoogLeNetSpec(
        "googlenet_bn",
        branch3_kernel=3,
        batch_norm=True,
        lrn=False,
        last_pool=2,
        aux_pool="adaptive",
        dropout=0.2,
        initial="normal",
        end_points="torchvision",
    ),
)
