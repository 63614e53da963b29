"""The networks of Keras Applications and of Keras's CIFAR-10 example, layer by layer, beside our modules' names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from residua.specs.schema import Spec
from residua.weights.sources.keras_graph import Graph

_Depths = tuple[int, ...]
# A branch: our names in a row; "" stands for a pool, and a tuple for convolutions side by side that are joined.
_Branch = Sequence[str | tuple[str, ...]]


def old_resnet(depths: _Depths) -> Graph:
    """Lay out ResNet-50 as keras_applications named it until 2018, after Caffe: `res2a_branch2a`, `fc1000`."""
    g = Graph()
    x = g.norm(g.conv(g.plain(), "conv1", "conv1"), "bn1", "bn_conv1")
    for stage, depth in enumerate(depths, 1):
        for unit in range(depth):
            ours, block = f"layer{stage}.{unit}", f"{stage + 1}{chr(ord('a') + unit)}"
            for index, part in enumerate("abc", 1):
                x = g.conv(x, f"{ours}.conv{index}", f"res{block}_branch2{part}")
                x = g.norm(x, f"{ours}.bn{index}", f"bn{block}_branch2{part}")
            if not unit:
                x = g.conv(x, f"{ours}.downsample.0", f"res{block}_branch1")
                x = g.norm(x, f"{ours}.downsample.1", f"bn{block}_branch1")
    g.dense(x, "fc", "fc1000")
    return g


def _resnet(depths: _Depths) -> Graph:
    g = Graph()

    def conv_norm(x: int, conv: str, norm: str, name: str) -> int:
        return g.norm(g.conv(x, conv, f"{name}_conv"), norm, f"{name}_bn")

    x = conv_norm(g.plain(g.plain()), "conv1", "bn1", "conv1")
    x = g.plain(g.plain(g.plain(x)))
    for stage, depth in enumerate(depths, 1):
        for unit in range(depth):
            ours, name = f"layer{stage}.{unit}", f"conv{stage + 1}_block{unit + 1}"
            skip = x
            if not unit:
                skip = conv_norm(x, f"{ours}.downsample.0", f"{ours}.downsample.1", f"{name}_0")
            for index in (1, 2):
                x = g.plain(conv_norm(x, f"{ours}.conv{index}", f"{ours}.bn{index}", f"{name}_{index}"))
            x = conv_norm(x, f"{ours}.conv3", f"{ours}.bn3", f"{name}_3")
            x = g.plain(g.plain(skip, x))
    g.dense(g.plain(x), "fc", "predictions")
    return g


def _resnet_v2(depths: _Depths) -> Graph:
    g = Graph()
    x = g.conv(g.plain(g.plain()), "conv1", "conv1_conv")
    x = g.plain(g.plain(x))
    for stage, depth in enumerate(depths, 1):
        for unit in range(depth):
            ours, name = f"layer{stage}.{unit}", f"conv{stage + 1}_block{unit + 1}"
            active = g.plain(g.norm(x, f"{ours}.bn1", f"{name}_preact_bn"))
            skip = x
            if not unit:
                skip = g.conv(active, f"{ours}.downsample.0", f"{name}_0_conv")
            elif unit == depth - 1 and stage < len(depths):
                skip = g.plain(x)
            x = g.conv(active, f"{ours}.conv1", f"{name}_1_conv")
            x = g.plain(g.plain(g.norm(x, f"{ours}.bn2", f"{name}_1_bn")))
            x = g.conv(x, f"{ours}.conv2", f"{name}_2_conv")
            x = g.plain(g.norm(x, f"{ours}.bn3", f"{name}_2_bn"))
            x = g.plain(skip, g.conv(x, f"{ours}.conv3", f"{name}_3_conv"))
    g.dense(g.plain(g.plain(g.norm(x, "norm", "post_bn"))), "fc", "predictions")
    return g


def _cifar(depths: _Depths) -> Graph:
    g = Graph()
    x = g.plain(g.norm(g.conv(g.plain(), "conv1"), "bn1"))
    for stage, depth in enumerate(depths, 1):
        for unit in range(depth):
            ours = f"layer{stage}.{unit}"
            y = g.plain(g.norm(g.conv(x, f"{ours}.conv1"), f"{ours}.bn1"))
            y = g.norm(g.conv(y, f"{ours}.conv2"), f"{ours}.bn2")
            skip = g.conv(x, f"{ours}.downsample.0") if stage > 1 and not unit else x
            x = g.plain(g.plain(skip, y))
    g.dense(g.plain(g.plain(x)), "fc")
    return g


def _cifar_v2(depths: _Depths) -> Graph:
    g = Graph()
    x = g.plain(g.norm(g.conv(g.plain(), "conv1"), "bn1"))
    for stage, depth in enumerate(depths, 1):
        for unit in range(depth):
            ours, y = f"layer{stage}.{unit}", x
            for index in (1, 2, 3):
                # The stem has activated what the very first convolution reads.
                if stage > 1 or unit or index > 1:
                    y = g.plain(g.norm(y, f"{ours}.bn{index}"))
                y = g.conv(y, f"{ours}.conv{index}")
            skip = x if unit else g.conv(x, f"{ours}.downsample.0")
            x = g.plain(skip, y)
    x = g.plain(g.norm(x, "norm"))
    g.dense(g.plain(g.plain(x)), "fc")
    return g


def _vgg(depths: _Depths) -> Graph:
    g = Graph()
    x, number = g.plain(), 0
    for block, depth in enumerate(depths, 1):
        for index in range(1, depth + 1):
            x = g.conv(x, f"features.{number}", f"block{block}_conv{index}")
            number += 2
        x, number = g.plain(x), number + 1
    x = g.plain(x)
    for ours, name in (("classifier.0", "fc1"), ("classifier.3", "fc2"), ("classifier.6", "predictions")):
        x = g.dense(x, ours, name)
    return g


def _densenet(depths: _Depths) -> Graph:
    g = Graph()
    x = g.norm(g.conv(g.plain(g.plain()), "features.conv0", "conv1_conv"), "features.norm0", "conv1_bn")
    x = g.plain(g.plain(g.plain(x)))
    for block, depth in enumerate(depths, 1):
        for layer in range(1, depth + 1):
            ours, name = f"features.denseblock{block}.denselayer{layer}", f"conv{block + 1}_block{layer}"
            y = g.conv(g.plain(g.norm(x, f"{ours}.norm1", f"{name}_0_bn")), f"{ours}.conv1", f"{name}_1_conv")
            y = g.conv(g.plain(g.norm(y, f"{ours}.norm2", f"{name}_1_bn")), f"{ours}.conv2", f"{name}_2_conv")
            x = g.plain(x, y)
        if block < len(depths):
            ours, name = f"features.transition{block}", f"pool{block + 1}"
            x = g.plain(g.conv(g.plain(g.norm(x, f"{ours}.norm", f"{name}_bn")), f"{ours}.conv", f"{name}_conv"))
    g.dense(g.plain(g.plain(g.norm(x, "features.norm5", "bn"))), "classifier", "predictions")
    return g


class _Inception(Graph):
    """A graph of convolutions with normalisation and ReLU, side by side in blocks."""

    def unit(self, x: int, ours: str, name: str | None = None) -> int:
        """Add convolution, batch normalisation, activation."""
        return self.plain(self.norm(self.conv(x, f"{ours}.conv", name), f"{ours}.bn", name and f"{name}_bn"))

    def block(self, x: int, prefix: str, *branches: _Branch) -> int:
        """Add branches and the concatenation of what they give."""
        ends = []
        for branch in branches:
            y = x
            for step in branch:
                if isinstance(step, tuple):
                    y = self.plain(*[self.unit(y, f"{prefix}.{part}") for part in step])
                else:
                    y = self.unit(y, f"{prefix}.{step}") if step else self.plain(y)
            ends.append(y)
        return self.plain(*ends)

    def stem(self, *names: str) -> int:
        """Add the five convolutions and two pools that Inception-v3 and Inception-ResNet begin with."""
        x = self.plain()
        for index, name in enumerate(names):
            x = self.unit(x, name)
            if index in (2, 4):
                x = self.plain(x)
        return x


def _row(name: str, *parts: str) -> list[str]:
    return [f"{name}_{part}" for part in parts]


def _inception_v3(_: _Depths) -> Graph:
    g = _Inception()
    x = g.stem("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3")
    double, pool = _row("branch3x3dbl", *"123"), ["", "branch_pool"]
    for block in "bcd":
        x = g.block(x, f"Mixed_5{block}", ["branch1x1"], _row("branch5x5", *"12"), double, pool)
    x = g.block(x, "Mixed_6a", ["branch3x3"], double, [""])
    for block in "bcde":
        wide = _row("branch7x7", *"123"), _row("branch7x7dbl", *"12345")
        x = g.block(x, f"Mixed_6{block}", ["branch1x1"], *wide, pool)
    x = g.block(x, "Mixed_7a", _row("branch3x3", *"12"), _row("branch7x7x3", *"1234"), [""])
    for block in "bc":
        split: _Branch = ["branch3x3_1", ("branch3x3_2a", "branch3x3_2b")]
        deep: _Branch = [*double[:2], ("branch3x3dbl_3a", "branch3x3dbl_3b")]
        x = g.block(x, f"Mixed_7{block}", ["branch1x1"], split, deep, pool)
    g.dense(g.plain(x), "fc", "predictions")
    return g


def _inception_resnet_v2(_: _Depths) -> Graph:
    g = _Inception()
    x = g.stem("conv2d_1a", "conv2d_2a", "conv2d_2b", "conv2d_3b", "conv2d_4a")

    def row(branch: int, depth: int) -> list[str]:
        return [f"branch{branch}.{index}" for index in range(depth)]

    def residual(x: int, ours: str, name: str, *branches: _Branch, active: bool = True) -> int:
        up = g.conv(g.block(x, ours, *branches), f"{ours}.conv2d", f"{name}_conv")
        x = g.plain(x, up)
        return g.plain(x) if active else x

    x = g.block(x, "mixed_5b", ["branch0"], row(1, 2), row(2, 3), ["", "branch3.1"])
    for unit in range(10):
        x = residual(x, f"repeat.{unit}", f"block35_{unit + 1}", ["branch0"], row(1, 2), row(2, 3))
    x = g.block(x, "mixed_6a", ["branch0"], row(1, 3), [""])
    for unit in range(20):
        x = residual(x, f"repeat_1.{unit}", f"block17_{unit + 1}", ["branch0"], row(1, 3))
    x = g.block(x, "mixed_7a", row(0, 2), row(1, 2), row(2, 3), [""])
    for unit in range(9):
        x = residual(x, f"repeat_2.{unit}", f"block8_{unit + 1}", ["branch0"], row(1, 3))
    x = residual(x, "block8", "block8_10", ["branch0"], row(1, 3), active=False)
    x = g.unit(x, "conv2d_7b", "conv_7b")
    g.dense(g.plain(x), "classif", "predictions")
    return g


# Names of our networks that Keras has, and what makes their graphs out of the depths of their stages.
_GRAPHS: tuple[tuple[str, Callable[[_Depths], Graph]], ...] = (
    (r"resnet\d+_keras", _resnet),
    (r"resnet\d+_v2_keras", _resnet_v2),
    (r"cifar_resnet\d+_keras", _cifar),
    (r"cifar_resnet\d+_v2_keras", _cifar_v2),
    (r"vgg1[69]", _vgg),
    (r"densenet(121|169|201)", _densenet),
    (r"inception_v3", _inception_v3),
    (r"inception_resnet_v2", _inception_resnet_v2),
)


def has(name: str) -> bool:
    """Return whether Keras Applications has the network that has this name here."""
    return any(re.fullmatch(pattern, name) for pattern, _ in _GRAPHS)


def graph_of(spec: Spec) -> Graph:
    """Return the graph of Keras's network of this name; only where it `has` one."""
    make = next(make for pattern, make in _GRAPHS if re.fullmatch(pattern, spec.name))
    return make(getattr(spec, "depths", ()))
