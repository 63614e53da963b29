"""VGG as rows of one dataclass: stages of 3×3 convolutions, a pool after each, three fully connected layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from residua.specs.fields import (
    Channels,
    ChannelsOfStages,
    Classes,
    Dropout,
    Epsilon,
    InChannels,
    InputSize,
    Momentum,
    Name,
    Paper,
    Side,
    UnitCounts,
)
from residua.specs.ranges import with_ranges
from residua.specs.schema import Spec


@with_ranges
@dataclass(frozen=True)
class VGGSpec(Spec):
    """Everything that makes one network; `residua.families.vgg.Network` reads it.

    Attributes:
        name: the catalog's name, kept through edits.
        paper: where the network was published.
        depths: convolutions in each stage.
        widths: channels of each stage.
        batch_norm: batch normalisation behind each convolution, which keeps its bias (torchvision's addition).
        bn_eps: epsilon of batch normalisation.
        bn_momentum: weight of the new batch in the running statistics (torch's convention).
        grid: side of the map that the first fully connected layer reads. Other sizes are pooled to it by adaptive
            averages; at the published size that is the identity. A 32-pixel image leaves one pixel, which grid=7
            repeats 49 times; grid=1 reads it once.
        hidden: width of the first two fully connected layers.
        dropout: drop probability behind each of them.
        num_classes: outputs; 0 or None: no classifier, what it reads comes out (fc7, as TF-slim).
        in_channels: channels of the input image.
        input_size: side of the square input that the network was published for, pixels.
    """

    family: ClassVar[str] = "vgg"

    name: Name
    paper: Paper
    depths: UnitCounts
    widths: ChannelsOfStages = (64, 128, 256, 512, 512)
    batch_norm: bool = False
    bn_eps: Epsilon = 1e-5
    bn_momentum: Momentum = 0.1
    grid: Side = 7
    hidden: Channels = 4096
    dropout: Dropout = 0.5
    num_classes: Classes = 1000
    in_channels: InChannels = 3
    input_size: InputSize = 224

    @property
    def depth(self) -> int:
        """Layers with weights, batch normalisation aside."""
        return sum(self.depths) + 3

    def check(self) -> None:
        if len(self.depths) != len(self.widths):
            self.refuse(
                f"depths={self.depths} and widths={self.widths}",
                "one width for each stage",
                "Give both lists the same length",
            )


SIMONYAN_2014 = "Simonyan 2014, arXiv 1409.1556"

# Columns A, B, D and E of table 1.
_DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

ROWS: tuple[VGGSpec, ...] = (
    *(VGGSpec(f"vgg{depth}", SIMONYAN_2014, depths) for depth, depths in _DEPTHS.items()),
    *(VGGSpec(f"vgg{depth}_bn", SIMONYAN_2014, depths, batch_norm=True) for depth, depths in _DEPTHS.items()),
)
