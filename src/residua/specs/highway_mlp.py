"""Fully connected highway networks of any depth, and their plain counterparts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from residua.specs.fields import Channels, Classes, InChannels, InputSize, Name, Paper, Span, StartBias, StartBiasOrNone
from residua.specs.highway import SRIVASTAVA_2015, WITHOUT_NORMS, Carry, check_carry
from residua.specs.limits import RateLimit
from residua.specs.ranges import with_ranges
from residua.specs.schema import Spec
from residua.specs.series import Series


@with_ranges
@dataclass(frozen=True)
class HighwayMLPSpec(Spec):
    """Everything that makes one network; `residua.families.highway_mlp.Network` reads it.

    Attributes:
        name: the catalog's name, kept through edits.
        paper: where the network was published.
        depth: layers, as the paper counts them: one ungated that sets the width, then depth - 1 gated; the classifier
            is not counted.
        width: units of each layer; 50, in plain networks 71, which has as many weights a layer (section 3.1).
        activation: of H, "relu" or "tanh"; the paper searched both.
        gates: False makes the plain network of the same depth: each layer is its H.
        carry: the gate C, "coupled" (1 − T) or "independent"; see `HighwaySpec`.
        transform_bias: where the biases of the gates T start. The paper searched -1 to -10 at each depth
            and does not publish what it found.
        carry_bias: where those of independent gates C start; None: -transform_bias; see `HighwaySpec`.
        num_classes: outputs; 0 or None: no classifier, the last layer's units come out.
        in_channels: channels of the input image.
        input_size: side of the square input, pixels. It is structural: the first layer has in_channels · input_size²
            inputs, and takes no other size.
    """

    family: ClassVar[str] = "highway_mlp"

    name: Name
    paper: Paper
    depth: Annotated[int, Span(2, 10**8, hint="One ungated layer and at least one gated: use depth=2")]
    width: Channels = 50
    activation: Literal["relu", "tanh"] = "relu"
    gates: bool = True
    carry: Carry = "coupled"
    transform_bias: StartBias = -4.0
    carry_bias: StartBiasOrNone = None
    num_classes: Classes = 10
    in_channels: InChannels = 1
    input_size: InputSize = 28

    @property
    def rate_limit(self) -> RateLimit | None:
        """The rate at which networks of 10 to 501 layers were seen to train."""
        return WITHOUT_NORMS

    def check(self) -> None:
        check_carry(self)


def highway_mlp(name: str, gated: int) -> HighwayMLPSpec:
    """Return `gated` highway layers of 50 units behind one that sets the width (Srivastava 2015, section 3.1)."""
    # Measured at the start, with ReLU: at -4 the first layer's gradient vanishes behind 1,000 layers (1e-4), at -8 it
    # does not (1); behind 100 it is whole at -4 (0.3), and gone at -1 (1e-5).
    return HighwayMLPSpec(name, SRIVASTAVA_2015, gated + 1, transform_bias=-4.0 if gated < 100 else -8.0)


ROWS: tuple[HighwayMLPSpec, ...] = ()
SERIES = (Series("highway_mlp{depth}", 1, 1, highway_mlp, (10, 20, 50, 100)),)
