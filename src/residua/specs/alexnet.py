"""AlexNet and ZFNet as rows of one dataclass: five convolutions, three pools, three fully connected layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from residua.specs import schema
from residua.specs.fields import positive, probability, refuse, settle

Five = tuple[int, int, int, int, int]
Three = tuple[int, int, int]


@dataclass(frozen=True)
class AlexNetSpec:
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
        num_classes: outputs.
        in_channels: channels of the input image.
        input_size: side of the square input that the network was published for, pixels.
    """

    name: str
    paper: str
    widths: Five
    kernels: Five = (11, 5, 3, 3, 3)
    strides: Five = (4, 1, 1, 1, 1)
    paddings: Five = (2, 2, 1, 1, 1)
    groups: Five = (1, 1, 1, 1, 1)
    pool_paddings: Three = (0, 0, 0)
    pool_ceil: bool = False
    lrn: Literal["none", "before_pool", "after_pool"] = "none"
    lrn_size: int = 5
    lrn_alpha: float = 1e-4
    lrn_beta: float = 0.75
    lrn_k: float = 2.0
    grid: int = 6
    hidden: int = 4096
    dropout: float = 0.5
    dropout_site: Literal["before", "after"] = "before"
    init_std: float | None = None
    init_bias: float = 1.0
    init_bias_layers: tuple[int, ...] = ()
    num_classes: int = 1000
    in_channels: int = 3
    input_size: int = 224

    @property
    def family(self) -> str:
        """The name of the family's module."""
        return "alexnet"

    @property
    def depth(self) -> int:
        """Layers with weights."""
        return 8

    def edit(self, **edits: Any) -> Self:
        """Return a copy with some fields changed; unknown fields are refused with the nearest name."""
        return schema.edit(self, **edits)

    def __post_init__(self) -> None:
        settle(self)
        positive(self, "widths", "kernels", "strides", "groups", "lrn_size", "grid", "hidden")
        positive(self, "num_classes", "in_channels", "input_size")
        probability(self, "dropout")
        if min(*self.paddings, *self.pool_paddings) < 0:
            given = f"paddings={self.paddings}, pool_paddings={self.pool_paddings}"
            refuse(self, given, "numbers of pixels, 0 or more", "Use 0 for none")
        if max(self.pool_paddings) > 1:
            refuse(self, f"pool_paddings={self.pool_paddings}", "at most half of a 3×3 window", "Use 0 or 1")
        for layer, (before, after, groups) in enumerate(
            zip((self.in_channels, *self.widths), self.widths, self.groups, strict=False), 1
        ):
            if before % groups or after % groups:
                refuse(
                    self,
                    f"groups={groups} in convolution {layer}, which leads {before} channels to {after}",
                    "groups that divide both",
                    "Use 1 for a whole convolution",
                )
        if self.lrn_alpha < 0 or self.lrn_k <= 0:
            given = f"lrn_alpha={self.lrn_alpha}, lrn_k={self.lrn_k}"
            refuse(self, given, "lrn_alpha >= 0 and lrn_k > 0", "The paper's are 1e-4 and 2; for no LRN use lrn='none'")
        if self.init_std is not None and self.init_std <= 0:
            refuse(self, f"init_std={self.init_std}", "init_std > 0", "Use None for torch's own initialisation")
        if any(not 1 <= layer <= self.depth for layer in self.init_bias_layers):
            refuse(self, f"init_bias_layers={self.init_bias_layers}", "layers from 1 to 8", "Use () for none")
        if self.init_bias_layers and self.init_std is None:
            refuse(
                self,
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
    # The paper says 224, and its maps of 55 need 227 without padding.
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
