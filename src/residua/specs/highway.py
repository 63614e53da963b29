"""Convolutional highway networks as rows of one dataclass: stages of gated layers of one width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from residua.specs.fields import (
    ChannelsOfStages,
    ChannelsOrNone,
    Classes,
    GlobalPool,
    InChannels,
    InputSize,
    Length,
    Name,
    Paper,
    Probability,
    Role,
    Side,
    SideOrNone,
    StartBias,
    StartBiasOrNone,
    UnitCounts,
)
from residua.specs.limits import RateLimit
from residua.specs.ranges import with_ranges
from residua.specs.schema import Spec

Carry = Literal["coupled", "independent"]

# Measured on digits, batches of 32, Nesterov momentum 0.9: at 0.1 fully connected networks of 20 and 50 layers diverge
# and one of 10 learns nothing; at 0.05 those of 50 and 100 diverge; at 0.02 and 0.01 those of 10 to 501 layers learn.
# Convolutional ones train at a tenth of the rate of residual networks (docs/decisions/0241).
WITHOUT_NORMS = RateLimit(0.01, "gated layers have no batch normalisation and diverge at larger ones")


@with_ranges
@dataclass(frozen=True)
class HighwaySpec(Spec):
    """Everything that makes one network; `residua.families.highway.Network` reads it.

    Attributes:
        name: the catalog's name, kept through edits.
        paper: where the network was published.
        depths: highway layers in each stage.
        widths: channels of each stage.
        kernels: sides of a stage's highway layers, in turn: (3, 1) alternates.
        entry_kernels: side of the ungated convolution that begins each stage and sets its width; 0 for none.
        entry_padding: whether those convolutions keep the resolution ("same") or see whole windows only ("valid").
        pools: side of the max-pool of stride 2 that closes each stage, its last window hanging over the border where
            it must (Caffe); 0 for none.
        head_width: channels of the ungated 1×1 convolution behind the stages; 0 for none.
        grid: side of the map that the classifier reads, behind adaptive averages; 1 is the global average.
        dropouts: drop probabilities, of the image, then behind each stage; the last is the classifier's input.
        gates: False makes the plain network of the same depth: each layer is its H.
        carry: the gate C of y = H·T + x·C (Srivastava 2015, arXiv 1505.00387, equations 2 and 3): "coupled", C = 1 − T,
            as all published networks have it; or "independent", a gate with weights of its own.
        transform_bias: where the biases of the gates T start. The paper takes -2 for CIFAR, -1 for MNIST,
            and advises -1 to -3, the more negative the deeper.
        carry_bias: where those of independent gates C start; None: -transform_bias, so that with weights of 0 the
            network starts as the coupled one, C = 1 − T. The papers train no independent gates and state no value.
        global_pool: False: no average; the classifier answers at each position, (B, num_classes, h, w). For grid=1.
        num_classes: outputs; 0 or None: no classifier, the pooled features come out.
        in_channels: channels of the input image.
        input_size: side of the square input that the network was published for, pixels.
    """

    family: ClassVar[str] = "highway"

    name: Name
    paper: Paper
    depths: UnitCounts
    widths: ChannelsOfStages
    kernels: Annotated[tuple[Side, ...], Length(1000, 1)] = (3,)
    entry_kernels: tuple[SideOrNone, ...] = (3, 3, 3)
    entry_padding: Literal["same", "valid"] = "same"
    pools: tuple[SideOrNone, ...] = (2, 2, 0)
    head_width: ChannelsOrNone = 100
    grid: Side = 1
    dropouts: Annotated[tuple[Probability, ...], Role("training")] = (0.2, 0.2, 0.2, 0.2)
    gates: bool = True
    carry: Carry = "coupled"
    transform_bias: StartBias = -2.0
    carry_bias: StartBiasOrNone = None
    global_pool: GlobalPool = True
    num_classes: Classes = 10
    in_channels: InChannels = 3
    input_size: InputSize = 32

    @property
    def depth(self) -> int:
        """Layers with weights, a gate counted with its transform."""
        return sum(self.depths) + sum(kernel > 0 for kernel in self.entry_kernels) + (self.head_width > 0) + 1

    @property
    def rate_limit(self) -> RateLimit | None:
        """The rate at which networks of 10 to 501 layers were seen to train."""
        return WITHOUT_NORMS

    def check(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in ("depths", "widths", "entry_kernels", "pools")}
        stages = len(self.depths)
        if set(lengths.values()) != {stages} or len(self.dropouts) != stages + 1:
            self.refuse(
                ", ".join(f"{count} {name}" for name, count in (lengths | {"dropouts": len(self.dropouts)}).items()),
                f"{stages} of each for the {stages} stages of depths, and {stages + 1} dropouts",
                "Give the lists matching lengths",
            )
        check_carry(self)
        if not self.global_pool and self.grid != 1:
            self.refuse(f"global_pool=False with grid={self.grid}", "grid=1, the global average", "Use grid=1")
        if even := [kernel for kernel in self.kernels if kernel % 2 == 0]:
            self.refuse(
                f"kernels={self.kernels}", "odd sides: a gated layer keeps its resolution", f"Use {even[0] + 1}"
            )
        channels = (self.in_channels, *self.widths)
        for stage, kernel in enumerate(self.entry_kernels):
            if not kernel and channels[stage] != channels[stage + 1]:
                self.refuse(
                    f"entry_kernels={self.entry_kernels}, where stage {stage + 1} leads {channels[stage]} channels to "
                    f"{channels[stage + 1]}",
                    "a convolution wherever the width changes: a gate carries its input",
                    f"Use another entry_kernels[{stage}], such as 3",
                )


def check_carry(spec: Any) -> None:
    """Refuse an independent carry gate in a network without gates.

    Raises:
        InputError: as `Spec.refuse`.
    """
    if spec.carry == "independent" and not spec.gates:
        spec.refuse(
            "carry='independent' with gates=False", "gated layers: a plain layer carries nothing", "Leave it out"
        )


SRIVASTAVA_2015 = "Srivastava 2015, arXiv 1507.06228"

ROWS: tuple[HighwaySpec, ...] = (
    # The authors' Caffe file of 19 layers (table 3, and "Highway B" of table 2 but for the head).
    HighwaySpec("cifar_highway19", SRIVASTAVA_2015, (4, 5, 5), (32, 80, 128)),
    # "Highway C" of table 2. Published is this: 32 layers, 3×3 and 1×1 in turn, thinner than the 19 layers, about
    # 1.25 M parameters; no table of layers. Derived here: the plan of the 19 layers (three stages, each begun by a 3×3
    # that sets the width; a 1×1 to 100 maps, global average, classifier) leaves 32 - 5 = 27 gated layers, 9 a stage;
    # widths that double come nearest with 24, 48, 96: 1,251,798 parameters, 0.1% above the published figure.
    HighwaySpec("cifar_highway32", SRIVASTAVA_2015, (9, 9, 9), (24, 48, 96), kernels=(3, 1)),
)
