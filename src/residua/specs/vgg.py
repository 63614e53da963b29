"""VGG as rows of one dataclass: stages of 3×3 convolutions, a pool after each, three fully connected layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from residua.specs import schema
from residua.specs.fields import positive, probability, refuse, settle


@dataclass(frozen=True)
class VGGSpec:
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
        num_classes: outputs.
        in_channels: channels of the input image.
        input_size: side of the square input that the network was published for, pixels.
    """

    name: str
    paper: str
    depths: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    batch_norm: bool = False
    bn_eps: float = 1e-5
    bn_momentum: float = 0.1
    grid: int = 7
    hidden: int = 4096
    dropout: float = 0.5
    num_classes: int = 1000
    in_channels: int = 3
    input_size: int = 224

    @property
    def family(self) -> str:
        """The name of the family's module."""
        return "vgg"

    @property
    def depth(self) -> int:
        """Layers with weights, batch normalisation aside."""
        return sum(self.depths) + 3

    def edit(self, **edits: Any) -> Self:
        """Return a copy with some fields changed; unknown fields are refused with the nearest name."""
        return schema.edit(self, **edits)

    def __post_init__(self) -> None:
        settle(self)
        positive(self, "depths", "widths", "grid", "hidden", "num_classes", "in_channels", "input_size")
        probability(self, "dropout")
        if len(self.depths) != len(self.widths):
            refuse(
                self,
                f"depths={self.depths} and widths={self.widths}",
                "one width for each stage",
                "Give both lists the same length",
            )
        if self.bn_eps <= 0 or not 0 <= self.bn_momentum <= 1:
            refuse(
                self,
                f"bn_eps={self.bn_eps}, bn_momentum={self.bn_momentum}",
                "bn_eps > 0 and 0 <= bn_momentum <= 1",
                "torch's own are 1e-5 and 0.1",
            )


SIMONYAN_2014 = "Simonyan 2014, arXiv 1409.1556"

# Columns A, B, D and E of table 1.
_DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

ROWS: tuple[VGGSpec, ...] = (
    *(VGGSpec(f"vgg{depth}", SIMONYAN_2014, depths) for depth, depths in _DEPTHS.items()),
    *(VGGSpec(f"vgg{depth}_bn", SIMONYAN_2014, depths, batch_norm=True) for depth, depths in _DEPTHS.items()),
)
