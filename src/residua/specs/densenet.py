"""DenseNet as rows of one dataclass: the ImageNet networks and the CIFAR forms of any depth and growth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from residua.specs.fields import (
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
    Span,
    UnitCounts,
)
from residua.specs.ranges import with_ranges
from residua.specs.schema import Spec
from residua.specs.series import Series


@with_ranges
@dataclass(frozen=True)
class DenseNetSpec(Spec):
    """Everything that makes one densely connected network; `residua.families.densenet.Network` reads it.

    A layer is BN, ReLU, convolution. Its input concatenates the block's input and what every layer before it in the
    block has added (Huang 2017, section 3). Between blocks stands a transition: BN, ReLU, 1×1 convolution, 2×2 average
    pooling.

    Attributes:
        name: the catalog's name, kept through edits.
        paper: where the network was published.
        depths: dense layers in each block.
        growth: channels that a layer adds, k.
        stem: "imagenet" (7×7 stride 2, BN, ReLU, 3×3 max-pool stride 2) or "cifar" (3×3 alone).
        stem_width: channels of the stem: 2k in the BC form, 16 in the plain CIFAR form (section 3; the authors' later
            code has 2k there too).
        bottleneck: a 1×1 convolution to this many times k channels stands before the 3×3 (section 3: 4); 0: none.
        compression: share of its channels that a transition keeps, rounded down, θ (section 3: 0.5 in the BC form).
        dropout: drop probability behind every convolution but the stem's (section 4.2: 0.2 without augmentation).
            torchvision drops behind the 3×3 alone.
        recompute: in training, keep what the layers add, and compute concatenation, BN and ReLU once more in the
            backward pass. Memory is then linear in the depth instead of quadratic (Pleiss 2017, arXiv 1707.06990).
        bn_eps: epsilon of batch normalisation.
        bn_momentum: weight of the new batch in the running statistics (torch's convention).
        global_pool: False: no average; the classifier answers at each position, (B, num_classes, h, w).
        num_classes: outputs; 0 or None: no classifier, the pooled features come out.
        in_channels: channels of the input image.
        input_size: side of the square input that the network was published for, pixels.
    """

    family: ClassVar[str] = "densenet"

    name: Name
    paper: Paper
    depths: UnitCounts
    growth: Channels
    stem: Literal["imagenet", "cifar"] = "imagenet"
    stem_width: Channels = 64
    bottleneck: Annotated[int, Span(0, 1024, hint="The paper's is 4; use 0 for none")] = 4
    compression: Annotated[float, Span(0, 1, above=True, hint="The paper's is 0.5; use 1 for none")] = 0.5
    dropout: Dropout = 0.0
    recompute: Annotated[bool, Role("training")] = False
    bn_eps: Epsilon = 1e-5
    bn_momentum: Momentum = 0.1
    global_pool: GlobalPool = True
    num_classes: Classes = 1000
    in_channels: InChannels = 3
    input_size: InputSize = 224

    @property
    def depth(self) -> int:
        """Layers with weights, as the paper counts them: with the transitions, the stem and the classifier."""
        return sum(self.depths) * (2 if self.bottleneck else 1) + len(self.depths) + 1

    @property
    def block_channels(self) -> tuple[tuple[int, int], ...]:
        """Channels that enter and that leave each block."""
        channels, entering = [], self.stem_width
        for layers in self.depths:
            leaving = entering + layers * self.growth
            channels.append((entering, leaving))
            entering = int(leaving * self.compression)
        return tuple(channels)

    def check(self) -> None:
        if any(entering < 1 for entering, _ in self.block_channels):
            self.refuse(
                f"compression={self.compression} with growth={self.growth} and depths={self.depths}",
                "at least one channel behind each transition",
                "The paper's compression is 0.5; use 1 for none",
            )


HUANG = "Huang 2017, arXiv 1608.06993"

ROWS: tuple[DenseNetSpec, ...] = (
    DenseNetSpec("densenet121", HUANG, (6, 12, 24, 16), 32),
    DenseNetSpec("densenet161", HUANG, (6, 12, 36, 24), 48, stem_width=96),
    DenseNetSpec("densenet169", HUANG, (6, 12, 32, 32), 32),
    DenseNetSpec("densenet201", HUANG, (6, 12, 48, 32), 32),
)


def _cifar(name: str, layers: int, growth: int, **fields: Any) -> DenseNetSpec:
    return DenseNetSpec(name, HUANG, (layers,) * 3, growth, "cifar", num_classes=10, input_size=32, **fields)


def cifar_densenet(name: str, n: int, growth: int) -> DenseNetSpec:
    """Return 3n+4 layers: no bottleneck, no compression (Huang 2017, section 3, "Implementation Details")."""
    return _cifar(name, n, growth, stem_width=16, bottleneck=0, compression=1.0)


def cifar_densenet_bc(name: str, n: int, growth: int) -> DenseNetSpec:
    """Return 6n+4 layers: bottlenecks of 4k, transitions that halve the channels, a stem of 2k."""
    return _cifar(name, n, growth, stem_width=2 * growth)


SERIES = (
    Series("cifar_densenet{depth}_{width}", 3, 4, cifar_densenet, ((40, 12), (100, 12), (100, 24))),
    Series("cifar_densenet_bc{depth}_{width}", 6, 4, cifar_densenet_bc, ((100, 12), (250, 24), (190, 40))),
)
