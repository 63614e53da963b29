"""What `inspect` returns: a network's layers, what each costs, and their sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from residua._base.plain import plain
from residua.anatomy.memory import TrainingMemory
from residua.families.end_points import stage_of

_BESIDE = frozenset({"downsample", "join", "gate", "carry", "se"})  # modules beside the layers of a branch


@dataclass(frozen=True)
class Layer:
    """A layer: a call of a module without parts, or a function that the network calls between them.

    Attributes:
        name: the module's name in the network, or "caller.function()"; a second call is "name (2)".
        kind: such as "conv 3×3 /2", "batch norm", "add".
        operation: the operation that gave it its kind: "conv2d", "batch_norm", "add", …
        part: the end point that it leads to.
        inputs: the layers that it reads; "image" for the image.
        output: its shape without the batch: (C, H, W) or (K,).
        window: kernel, stride and padding, (height, width) each; empty where nothing slides.
        groups: of a convolution.
        params: trainable parameters; weights that several layers share are counted at the first.
        macs: multiply-accumulates of convolutions and matrix products, an image.
        elementwise_flops: all other arithmetic, an image: biases, normalisation, activations, pools, sums.
        activation_bytes: new memory for its output, the batch; 0 for what works in place.
        kept_bytes: what autograd keeps for the backward pass and no layer before has kept, the batch.
        receptive_field: (height, width) in pixels of the image, padding included; None: the whole image.
        stride: (vertical, horizontal) distance of neighbouring outputs, pixels of the image; None: no positions.
        runs: False for weights that the pass does not use.
    """

    name: str
    kind: str
    operation: str
    part: str
    inputs: tuple[str, ...] = ()
    output: tuple[int, ...] = ()
    window: tuple[tuple[int, int], ...] = ()
    groups: int = 1
    params: int = 0
    macs: int = 0
    elementwise_flops: int = 0
    activation_bytes: int = 0
    kept_bytes: int = 0
    receptive_field: tuple[int, int] | None = None
    stride: tuple[float, float] | None = None
    runs: bool = True

    @property
    def weighted(self) -> bool:
        """Whether it counts toward the depth as He 2015 counts: convolutions and linear layers of the branches.

        Those beside them do not: projections (ResNet-34 has 34 layers, and three projections), gates,
        squeeze-and-excitation.
        """
        return self.operation in ("conv2d", "linear") and _BESIDE.isdisjoint(self.name.split("."))

    @property
    def flops(self) -> int:
        """Two a multiply-accumulate; `elementwise_flops` are counted apart."""
        return 2 * self.macs


@dataclass(frozen=True)
class Group:
    """Layers in a row as one line: an end point, or a stage of them. Sums as in `Layer`; the rest is the last layer's.

    Attributes:
        name: of the end point or stage.
        layers: how many.
        weighted: how many of them count toward the depth; see `Layer.weighted`.
    """

    name: str
    layers: int
    weighted: int
    output: tuple[int, ...]
    params: int
    macs: int
    elementwise_flops: int
    activation_bytes: int
    kept_bytes: int
    receptive_field: tuple[int, int] | None
    stride: tuple[float, float] | None

    @property
    def flops(self) -> int:
        """Two a multiply-accumulate."""
        return 2 * self.macs


@dataclass(frozen=True)
class Anatomy:
    """A network laid open.

    Attributes:
        name, paper: of the network.
        input_shape: (C, H, W).
        batch: images; bytes are for all of them, everything else for one.
        layers: in the order in which they run; their sums are the totals, exactly.
        buffer_bytes: statistics and counters of the layers.
        inference_peak_bytes: the most that image and activations take at one time where nothing is kept.
        training: the memory of a training step.
    """

    name: str
    paper: str
    input_shape: tuple[int, int, int]
    batch: int
    layers: tuple[Layer, ...] = field(repr=False)
    buffer_bytes: int
    inference_peak_bytes: int
    training: TrainingMemory = field(repr=False)

    @property
    def params(self) -> int:
        """Trainable parameters."""
        return sum(layer.params for layer in self.layers)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and matrix products, an image forward."""
        return sum(layer.macs for layer in self.layers)

    @property
    def flops(self) -> int:
        """Two a multiply-accumulate."""
        return 2 * self.macs

    @property
    def elementwise_flops(self) -> int:
        """All other arithmetic, an image forward."""
        return sum(layer.elementwise_flops for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        """Memory of all layers' outputs, the batch."""
        return sum(layer.activation_bytes for layer in self.layers)

    @property
    def kept_bytes(self) -> int:
        """Return the bytes of activations that autograd keeps for the backward pass, for the whole batch."""
        return sum(layer.kept_bytes for layer in self.layers)

    @property
    def parts(self) -> tuple[Group, ...]:
        """One line an end point, in the vocabulary of the network's origin."""
        return _groups(self.layers, [layer.part for layer in self.layers])

    @property
    def stages(self) -> tuple[Group, ...]:
        """Return the layers grouped by stage; an end point outside any stage is a group of its own."""
        return _groups(self.layers, [stage_of(layer.part) for layer in self.layers])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values: bytes, counts, and cumulative shares as fractions of 1."""
        document = {
            "name": self.name,
            "paper": self.paper,
            "input_shape": self.input_shape,
            "batch": self.batch,
            **{key: getattr(self, key) for key in _TOTALS},
            "buffer_bytes": self.buffer_bytes,
            "inference_peak_bytes": self.inference_peak_bytes,
            "training": self.training,
            "layers": _rows(self.layers),
            "parts": _rows(self.parts),
            "stages": _rows(self.stages),
        }
        plain_document: dict[str, Any] = plain(document)
        return plain_document


_TOTALS = ("params", "macs", "flops", "elementwise_flops", "activation_bytes", "kept_bytes")


def cumulative(rows: Sequence[Layer | Group], key: str) -> list[float]:
    """Return the share of the whole that each row completes, for a field that sums: 0 to 1."""
    values = [getattr(row, key) for row in rows]
    whole, done, shares = sum(values), 0, []
    for value in values:
        done += value
        shares.append(done / whole if whole else 0.0)
    return shares


def _rows(rows: Sequence[Layer | Group]) -> list[dict[str, Any]]:
    shares = zip(cumulative(rows, "macs"), cumulative(rows, "params"), strict=True)
    return [
        {**plain(row), "flops": 2 * row.macs, "cumulative_macs": macs, "cumulative_params": params}
        for row, (macs, params) in zip(rows, shares, strict=True)
    ]


def _groups(layers: Sequence[Layer], names: Sequence[str]) -> tuple[Group, ...]:
    members: dict[str, list[Layer]] = {}
    for layer, name in zip(layers, names, strict=True):
        members.setdefault(name, []).append(layer)
    return tuple(grouped(name, rows) for name, rows in members.items())


def grouped(name: str, rows: Sequence[Layer]) -> Group:
    """Return layers as one line with their sums."""
    last = next((row for row in reversed(rows) if row.runs), rows[-1])
    sums = {key: sum(getattr(row, key) for row in rows) for key in _TOTALS if key != "flops"}
    return Group(
        name,
        layers=len(rows),
        weighted=sum(row.weighted for row in rows),
        output=last.output,
        receptive_field=last.receptive_field,
        stride=last.stride,
        **sums,
    )
