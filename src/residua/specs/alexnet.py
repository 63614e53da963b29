"""AlexNet and ZFNet as rows of one dataclass: five convolutions, three pools, three fully connected layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from residua.specs.fields import (
    Border,
    Channels,
    Classes,
    Deviation,
    Dropout,
    Factor,
    InChannels,
    InputSize,
    Name,
    Paper,
    Role,
    Side,
    Span,
    StartBias,
)
from residua.specs.ranges import with_ranges
from residua.specs.schema import Spec

Widths = tuple[Channels, Channels, Channels, Channels, Channels]
Sides = tuple[Side, Side, Side, Side, Side]
Borders = tuple[Border, Border, Border, Border, Border]
PoolBorder = Annotated[int, Span(0, 1, hint="At most half of a 3×3 window: use 0 or 1")]


@with_ranges
@dataclass(frozen=True)
class AlexNetSpec(Spec):
    """Everything that makes one network; `residua.families.alexnet.Network` reads it.

    Attributes:
        name: the catalog's name, kept through edits.
        paper: where the network was published.
        widths: channels of the five convolutions.
        kernels: their sides.
        strides: their strides.
        paddings: zeros at each border.
        groups: their groups; 2 in the second, fourth and fifth is the split over two GPUs (Krizhevsky 2012, figure 2).
        pool_paddings: −inf at each border of the 3×3 max-pools of stride 2, behind convolutions 1, 2 and 5.
        pool_ceil: a pool keeps the window that hangs over the border, as Caffe and cuda-convnet do; torch drops it.
            They agree at the published size.
        lrn: local response normalisation behind the first two convolutions: "none"; "before_pool" (Krizhevsky 2012,
            section 3.5); "after_pool" (CaffeNet, ZFNet).
        lrn_size: maps that the sum runs over, n.
        lrn_alpha: factor of the sum, the paper's. Caffe and torch divide theirs by n: Caffe's 1e-4 is 2e-5 here.
        lrn_beta: exponent.
        lrn_k: what the sum is added to; Caffe's is 1.
        grid: side of the map that the first fully connected layer reads. Other sizes are pooled to it by adaptive
            averages; at the published size that is the identity.
        hidden: width of the first two fully connected layers.
        dropout: drop probability.
        dropout_site: "before" the first two fully connected layers (torchvision) or "after" them (the paper, Caffe).
        init_std: weights start normal with this standard deviation, biases at 0; None: as torch's layers do.
        init_bias: where the biases of `init_bias_layers` start instead; Caffe's 0.1.
        init_bias_layers: layers counted from 1, convolutions first.
        num_classes: outputs; 0 or None: no classifier, what it reads comes out (fc7, as TF-slim).
        in_channels: channels of the input image.
        input_size: side of the square input that the network was published for, pixels.
    """

    family: ClassVar[str] = "alexnet"

    name: Name
    paper: Paper
    widths: Widths
    kernels: Sides = (11, 5, 3, 3, 3)
    strides: Sides = (4, 1, 1, 1, 1)
    paddings: Borders = (2, 2, 1, 1, 1)
    groups: Widths = (1, 1, 1, 1, 1)
    pool_paddings: tuple[PoolBorder, PoolBorder, PoolBorder] = (0, 0, 0)
    pool_ceil: bool = False
    lrn: Literal["none", "before_pool", "after_pool"] = "none"
    lrn_size: Side = 5
    lrn_alpha: Annotated[float, Span(0, 1000, hint="The paper's is 1e-4; for no LRN use lrn='none'")] = 1e-4
    lrn_beta: Factor = 0.75
    lrn_k: Annotated[float, Span(0, 1000, above=True, hint="The paper's is 2; for no LRN use lrn='none'")] = 2.0
    grid: Side = 6
    hidden: Channels = 4096
    dropout: Dropout = 0.5
    dropout_site: Annotated[Literal["before", "after"], Role("training")] = "before"
    init_std: Annotated[Deviation | None, Role("start")] = None
    init_bias: StartBias = 1.0
    init_bias_layers: Annotated[tuple[int, ...], Role("start")] = ()
    num_classes: Classes = 1000
    in_channels: InChannels = 3
    input_size: InputSize = 224

    @property
    def depth(self) -> int:
        """Layers with weights."""
        return 8

    def check(self) -> None:
        for layer, (before, after, groups) in enumerate(
            zip((self.in_channels, *self.widths), self.widths, self.groups, strict=False), 1
        ):
            if before % groups or after % groups:
                self.refuse(
                    f"groups={groups} in convolution {layer}, which leads {before} channels to {after}",
                    "groups that divide both",
                    "Use 1 for a whole convolution",
                )
        if any(not 1 <= layer <= self.depth for layer in self.init_bias_layers):
            self.refuse(f"init_bias_layers={self.init_bias_layers}", "layers from 1 to 8", "Use () for none")
        if self.init_bias_layers and self.init_std is None:
            self.refuse(
                f"init_bias_layers={self.init_bias_layers} with init_std=None",
                "a standard deviation, with which the biases start at 0 or init_bias",
                "Use init_std=0.01, the paper's, or init_bias_layers=()",
            )


KRIZHEVSKY_2012 = "Krizhevsky 2012, NIPS"
KRIZHEVSKY_2014 = "Krizhevsky 2014, arXiv 1404.5997"
ZEILER_2013 = "Zeiler 2013, arXiv 1311.2901"


def _zfnet(name: str, *widths: int) -> AlexNetSpec:
    # The maps of figure 3, 110, 55, 26, 13, 13, 13 and 6, come of these paddings; a port with 3 and 2 has other maps.
    # The paper normalises "across feature maps" behind the pools and gives no constants: these are AlexNet's.
    return AlexNetSpec(
        name,
        ZEILER_2013,
        (96, 256, *widths),  # type: ignore[arg-type]
        kernels=(7, 5, 3, 3, 3),
        strides=(2, 2, 1, 1, 1),
        paddings=(1, 0, 1, 1, 1),
        pool_paddings=(1, 1, 0),
        lrn="after_pool",
        dropout_site="after",
        init_std=0.01,
    )


ROWS: tuple[AlexNetSpec, ...] = (
    # torchvision's: one tower, narrower, no LRN; not the network of 2012.
    AlexNetSpec("alexnet", KRIZHEVSKY_2014, (64, 192, 384, 256, 256)),
    # The paper states 224, and its maps of 55 need 227 without padding.
    AlexNetSpec(
        "alexnet_2012",
        KRIZHEVSKY_2012,
        (96, 256, 384, 384, 256),
        paddings=(0, 2, 1, 1, 1),
        groups=(1, 2, 1, 2, 2),
        pool_ceil=True,
        lrn="before_pool",
        dropout_site="after",
        init_std=0.01,
        init_bias_layers=(2, 4, 5, 6, 7),
        input_size=227,
    ),
    _zfnet("zfnet", 384, 384, 256),
    # Table 3's wider layers 3 to 5, which lectures show as ZFNet.
    _zfnet("zfnet_512_1024_512", 512, 1024, 512),
)
