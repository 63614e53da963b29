"""Fully connected highway networks: one module that reads a `HighwayMLPSpec`."""

from __future__ import annotations

from torch import Tensor, nn

from residua.families.network import Classifier, Part
from residua.layers.head import classifier
from residua.layers.highway import HighwayLayer, initialise_highway
from residua.specs.highway_mlp import HighwayMLPSpec


class Network(Classifier):
    """`layer1`, which sets the width, `layer2`, … with `transform` and `gate`, and the classifier `fc`.

    Shapes: (B, spec.in_channels, spec.input_size, spec.input_size) -> logits (B, spec.num_classes); no other size.
    What flows between the parts is (B, spec.width).
    """

    spec: HighwayMLPSpec

    def __init__(self, spec: HighwayMLPSpec) -> None:
        super().__init__(spec)
        self.add_module("layer1", HighwayLayer(nn.Linear(spec.in_channels * spec.input_size**2, spec.width), _h(spec)))
        for number in range(2, spec.depth + 1):
            self.add_module(f"layer{number}", _gated(spec))
        self.fc = classifier(spec.width, spec.num_classes)

    def initialise(self) -> None:
        """Draw with He's (2015b) variance for ReLU, Glorot's (2010) for tanh; gates start at `spec.transform_bias`."""
        initialise_highway(self, "relu" if self.spec.activation == "relu" else "linear")

    def parts(self) -> list[Part]:
        """Yield `layer1`, `layer2`, …."""
        first, *gated = ((name, layer) for name, layer in self.named_children() if isinstance(layer, HighwayLayer))
        return [(first[0], lambda x: first[1](x.flatten(1))), *gated]

    def forward_head(self, features: Tensor) -> Tensor:
        """Classify features (B, spec.width): return logits (B, spec.num_classes)."""
        logits: Tensor = self.fc(features)
        return logits


def _gated(spec: HighwayMLPSpec) -> HighwayLayer:
    gate = nn.Linear(spec.width, spec.width) if spec.gates else None
    carry = nn.Linear(spec.width, spec.width) if spec.carry == "independent" else None
    transform = nn.Linear(spec.width, spec.width)
    return HighwayLayer(transform, _h(spec), gate, spec.transform_bias, carry, spec.carry_bias)


def _h(spec: HighwayMLPSpec) -> nn.Module:
    return nn.ReLU(inplace=True) if spec.activation == "relu" else nn.Tanh()
