"""What every network shares: an ordered list of named parts from the image to the features, and a head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from residua.families.layout import Layout, layout_on_arrival
from residua.specs.provenance import Provenance
from residua.specs.schema import Spec

Part = tuple[str, Callable[[Tensor], Tensor]]


class AuxLogits(NamedTuple):
    """What a network with auxiliary classifiers returns in training.

    Attributes:
        logits: (B, num_classes).
        aux: the auxiliary classifiers' logits, each (B, num_classes), in the order of the network.
    """

    logits: Tensor
    aux: tuple[Tensor, ...]


class Classifier(nn.Module):
    """An image classifier as its parts, its head and, in training, its auxiliary heads.

    A family's `Network` defines `parts` and `forward_head`, and `initialise` where its paper differs from torch.

    Shapes: (B, spec.in_channels, H, W) -> logits (B, spec.num_classes). With `num_classes=0` what the classifier would
    read comes out, (B, C'). With `global_pool=False`, in families that have it, logits come out at each position:
    (B, spec.num_classes, h, w). Dropout before the classifier acts in training mode without it too.

    Attributes:
        layout: how images are laid out on entry. Chosen when the network comes to a device, by `layout_on_arrival`.
            Assign another to overrule it; an export wants `Layout()`, which leaves images as they come.
        infers_channels_last: whether the forward pass alone is faster on CPUs with the channels innermost.
        trains_channels_last: whether the training step is.
        provenance: where the weights come from, once they were loaded by name.
    """

    layout: Layout = Layout()
    infers_channels_last: bool = True
    trains_channels_last: bool = True
    provenance: Provenance | None = None

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec

    def parts(self) -> list[Part]:
        """Return the steps from the image to the features, in order, as (name of the end point, module or function)."""
        raise NotImplementedError

    def forward_head(self, features: Tensor) -> Tensor:
        """Classify features (B, C', h, w): return logits (B, spec.num_classes)."""
        raise NotImplementedError

    @property
    def answer(self) -> str:
        """The name of what comes out, as the last end point: "logits", or "pooled" without a classifier."""
        return "logits" if self.spec.num_classes else "pooled"

    def head_parts(self) -> list[Part]:
        """Return the steps from the features to the logits, in order; the last is named as `answer` states."""
        return [(self.answer, self.forward_head)]

    def aux_heads(self) -> dict[str, nn.Module]:
        """Return the auxiliary classifiers by the name of the end point that each reads."""
        return {}

    def initialise(self) -> None:
        """Draw fresh weights from torch's global generator, as the network's paper starts."""
        for layer in self.modules():
            reset = getattr(layer, "reset_parameters", None)
            if callable(reset):
                reset()

    def forward_features(self, x: Tensor) -> Tensor:
        """Extract from images (B, C, H, W) the features (B, C', h, w), activated, before pooling."""
        x = self.lay_out(x)
        for _, part in self.parts():
            x = part(x)
        return x

    def forward(self, x: Tensor) -> Tensor | AuxLogits:
        heads = self.aux_heads() if self.training else {}
        if not heads:
            return self.forward_head(self.forward_features(x))
        aux = []
        x = self.lay_out(x)
        for name, part in self.parts():
            x = part(x)
            if name in heads:
                aux.append(heads[name](x))
        return AuxLogits(self.forward_head(x), tuple(aux))

    def forward_intermediates(self, x: Tensor) -> dict[str, Tensor]:
        """Return what flows between the parts, by the names of the end points, and the `answer` at the end."""
        points = {}
        x = self.lay_out(x)
        for name, part in [*self.parts(), *self.head_parts()]:
            # Parts may work in place; a copy keeps what this point held.
            points[name] = x = part(x.clone())
        return points

    def lay_out(self, x: Tensor) -> Tensor:
        """Return the image (B, C, H, W) in the layout of the current mode; values are unchanged."""
        layout = self.layout.training if self.training else self.layout.inference
        return x if layout is None or x.dim() != 4 else x.contiguous(memory_format=layout)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # `to`, `to_empty`, `cuda` and `cpu` all pass through here.
        before = self._device()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._settle_layout(before)
        return self

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a state dict as torch does; one that is assigned may bring the network to a device."""
        before = self._device()
        keys = super().load_state_dict(state_dict, strict=strict, assign=assign)
        self._settle_layout(before)
        return keys

    def _settle_layout(self, before: torch.device | None) -> None:
        here = self._device()
        if here is not None and (before is None or here.type != before.type):
            self.layout = layout_on_arrival(
                here,
                trains_channels_last=self.trains_channels_last,
                infers_channels_last=self.infers_channels_last,
            )

    def _device(self) -> torch.device | None:
        first = next(self.parameters(), None)
        return None if first is None else first.device


class DenseHeadClassifier(Classifier):
    """A classifier that ends as AlexNet did: `avgpool` to a fixed grid, then `classifier`, three linear layers.

    `classifier` has seven entries: the first layer with what belongs to it in the first three, the second in the next
    three, the last alone. Their end points have Caffe's names, fc6 and fc7.
    """

    avgpool: nn.Module
    classifier: nn.Sequential

    def head_parts(self) -> list[Part]:
        """Yield `fc6`, `fc7` and `logits`; without a classifier the first two."""
        first, second, last = (chain(*list(self.classifier)[at]) for at in (slice(3), slice(3, 6), slice(6, 7)))
        return [("fc6", lambda x: first(self.avgpool(x).flatten(1))), ("fc7", second), ("logits", last)][
            : 3 if self.spec.num_classes else 2
        ]

    def forward_head(self, features: Tensor) -> Tensor:
        """Classify features (B, C', h, w): return logits (B, spec.num_classes)."""
        logits: Tensor = self.classifier(self.avgpool(features).flatten(1))
        return logits


def chain(*layers: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the composition of `layers`, the first applied first."""

    def run(x: Tensor) -> Tensor:
        for layer in layers:
            x = layer(x)
        return x

    return run
