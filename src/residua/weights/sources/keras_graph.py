"""A Keras network as the graph of its layers: enough to know which layer of a file is which of ours.

Keras names most layers itself (`conv2d`, `conv2d_1`, …) in the order in which they were made. The files of Keras 3
count again, in the order of `model.layers`. That goes by the distance from the output, the farthest first, and then by
when a walk back from the output meets them. Both orders follow from the graph.
"""

from __future__ import annotations

from typing import NamedTuple

CONV, NORM, DENSE = "conv2d", "batch_normalization", "dense"


class Layer(NamedTuple):
    """One layer.

    Attributes:
        kind: Keras's class as it names layers of it; "" for layers without weights, which only the order needs.
        ours: name of the module in our network.
        name: the name that the network's code gives; None: automatic.
        inputs: places in the graph of the layers that it reads.
    """

    kind: str
    ours: str
    name: str | None
    inputs: tuple[int, ...]


class Graph:
    """Layers in the order in which they are made; each method adds one and returns its place."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []

    def plain(self, *inputs: int) -> int:
        """Add a layer without weights: input, padding, activation, pool, sum, concatenation."""
        return self._add("", "", None, inputs)

    def conv(self, x: int, ours: str, name: str | None = None) -> int:
        """Add a convolution."""
        return self._add(CONV, ours, name, (x,))

    def norm(self, x: int, ours: str, name: str | None = None) -> int:
        """Add a batch normalisation."""
        return self._add(NORM, ours, name, (x,))

    def dense(self, x: int, ours: str, name: str | None = None) -> int:
        """Add a fully connected layer."""
        return self._add(DENSE, ours, name, (x,))

    def made(self, kind: str) -> list[Layer]:
        """Return the layers of a kind in the order in which they are made."""
        return [layer for layer in self.layers if layer.kind == kind]

    def saved(self, kind: str) -> list[Layer]:
        """Return the layers of a kind in the order of `model.layers`, which Keras 3 counts in."""
        last = len(self.layers) - 1
        depths = [0] * len(self.layers)
        for index in range(last, -1, -1):
            for source in self.layers[index].inputs:
                depths[source] = max(depths[source], depths[index] + 1)
        met: dict[int, int] = {}
        waiting = [last]
        while waiting:
            index = waiting.pop()
            if index not in met:
                met[index] = len(met)
                waiting += reversed(self.layers[index].inputs)
        order = sorted(met, key=lambda index: (-depths[index], met[index]))
        return [self.layers[index] for index in order if self.layers[index].kind == kind]

    def _add(self, kind: str, ours: str, name: str | None, inputs: tuple[int, ...]) -> int:
        self.layers.append(Layer(kind, ours, name, inputs))
        return len(self.layers) - 1
