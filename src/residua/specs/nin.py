"""Network in Network as rows of one dataclass: blocks of a convolution and 1×1 convolutions, a global average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from residua.specs.fields import (
    Border,
    ChannelsOfStages,
    Classes,
    Deviation,
    Dropout,
    GlobalPool,
    InChannels,
    InputSize,
    Length,
    Name,
    Paper,
    Role,
    Side,
)
from residua.specs.ranges import with_ranges
from residua.specs.schema import Spec


@with_ranges
@dataclass(frozen=True)
class NiNSpec(Spec):
    """Everything that makes one network; `residua.families.nin.Network` reads it.

    Attributes:
        name: the catalog's name, kept through edits.
        paper: where the network was published.
        widths: channels of each block's convolutions, the 1×1 behind the first; the last block lacks its last 1×1,
            whose width is `num_classes`.
        kernels: side of each block's first convolution.
        strides: its stride.
        paddings: zeros at each border in front of it.
        pools: 3×3 pools of stride 2 between the blocks, "max" or "avg". A window may hang over the border (Caffe,
            cuda-convnet). cifar_nin's second is "max" in the authors' file, "avg" in later Caffe and torch versions.
        dropout: drop probability.
        dropout_pools: pools, counted from 1, that it follows.
        init_std: weights start normal with this standard deviation, biases at 0.
        init_small_std: the deviation of `init_small` instead.
        init_small: layers counted from 1.
        global_pool: False: no average; a map of logits comes out, (B, num_classes, h, w).
        num_classes: outputs; 0 or None: without the last convolution; the average of what it reads comes out.
        in_channels: channels of the input image.
        input_size: side of the square input that the network was published for, pixels.
    """

    family: ClassVar[str] = "nin"

    name: Name
    paper: Paper
    widths: Annotated[tuple[ChannelsOfStages, ...], Length(1000, 1)]
    kernels: tuple[Side, ...]
    strides: tuple[Side, ...]
    paddings: tuple[Border, ...]
    pools: tuple[Literal["max", "avg"], ...]
    dropout: Dropout = 0.5
    dropout_pools: Annotated[tuple[int, ...], Role("training")] = ()
    init_std: Deviation = 0.05
    init_small_std: Deviation = 0.01
    init_small: Annotated[tuple[int, ...], Role("start")] = ()
    global_pool: GlobalPool = True
    num_classes: Classes = 1000
    in_channels: InChannels = 3
    input_size: InputSize = 224

    @property
    def depth(self) -> int:
        """Layers with weights."""
        return sum(map(len, self.widths)) + 1

    def check(self) -> None:
        blocks = len(self.widths)
        lengths = {name: len(getattr(self, name)) for name in ("kernels", "strides", "paddings")}
        if set(lengths.values()) != {blocks} or len(self.pools) != blocks - 1:
            self.refuse(
                ", ".join(f"{count} {name}" for name, count in (lengths | {"pools": len(self.pools)}).items()),
                f"{blocks} of each for the {blocks} blocks of widths, and {blocks - 1} pools between them",
                "Give the lists matching lengths",
            )
        if any(not 1 <= pool < blocks for pool in self.dropout_pools):
            field = f"dropout_pools={self.dropout_pools}"
            self.refuse(field, f"pools from 1 to {blocks - 1}", "Use () for no dropout")
        if any(not 1 <= layer <= self.depth for layer in self.init_small):
            self.refuse(f"init_small={self.init_small}", f"layers from 1 to {self.depth}", "Use () for none")


LIN_2013 = "Lin 2013, arXiv 1312.4400"

ROWS: tuple[NiNSpec, ...] = (
    # The authors' network for ImageNet, which the paper does not have: Caffe's model zoo, nin_imagenet.
    NiNSpec(
        "nin",
        LIN_2013,
        widths=((96, 96, 96), (256, 256, 256), (384, 384, 384), (1024, 1024)),
        kernels=(11, 5, 3, 3),
        strides=(4, 1, 1, 1),
        paddings=(0, 2, 1, 1),
        pools=("max", "max", "max"),
        dropout_pools=(3,),
        init_small=(1, 7, 12),
    ),
    # The authors' cuda-convnet file, cifar-10_def.
    NiNSpec(
        "cifar_nin",
        LIN_2013,
        widths=((192, 160, 96), (192, 192, 192), (192, 192)),
        kernels=(5, 5, 3),
        strides=(1, 1, 1),
        paddings=(2, 2, 1),
        pools=("max", "max"),
        dropout_pools=(1, 2),
        num_classes=10,
        input_size=32,
    ),
)
