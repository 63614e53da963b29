"""The networks of Keras's CIFAR-10 example, built of Keras's layers in the order in which the example makes them.

The facts are those of examples/cifar10_resnet.py (keras-team/keras). Names are automatic: files count layers in that
order. Its L2 penalty is a part of training, and is left out.
"""

from __future__ import annotations

import re
from typing import Any

_NAME = re.compile(r"ResNet(\d+)v([12])")


def is_example(name: str) -> bool:
    """Return whether a name is one of the example's: `ResNet20v1`; Keras Applications writes a capital V."""
    return _NAME.fullmatch(name) is not None


def build_example(keras: Any, name: str, shape: tuple[int, ...], classes: int) -> Any:
    """Build a network of the example, without the softmax of its last layer.

    Args:
        keras: the module.
        name: "ResNet{6n+2}v1", of basic units, or "ResNet{9n+2}v2", of pre-activated bottlenecks.
        shape: (H, W, C) of an image; its last maps are pooled in windows of 8, so 32 pixels a side give one window.
        classes: number of logits.

    Raises:
        ValueError: a name of another form or depth.
    """
    match = _NAME.fullmatch(name)
    depth, version = (int(match[1]), int(match[2])) if match else (0, 0)
    layers_per_block = {1: 6, 2: 9}.get(version)
    if layers_per_block is None or depth < 2 + layers_per_block or (depth - 2) % layers_per_block:
        raise ValueError(f"{name}: the example has ResNet{{6n+2}}v1 and ResNet{{9n+2}}v2")
    blocks = (depth - 2) // layers_per_block
    example = _Example(keras.layers)
    image = keras.Input(shape)
    x = example.norm_relu(example.conv(image, 16, 3))
    x = example.basic_stages(x, blocks) if version == 1 else example.bottleneck_stages(x, blocks)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(x))
    return keras.Model(image, keras.layers.Dense(classes, kernel_initializer="he_normal")(x))


class _Example:
    def __init__(self, layers: Any) -> None:
        self.layers = layers

    def conv(self, x: Any, channels: int, side: int, stride: int = 1) -> Any:
        """Apply a convolution with a bias, padded as TensorFlow's SAME."""
        return self.layers.Conv2D(channels, side, stride, padding="same", kernel_initializer="he_normal")(x)

    def norm_relu(self, x: Any) -> Any:
        """Apply batch normalisation and ReLU."""
        return self.layers.Activation("relu")(self.layers.BatchNormalization()(x))

    def basic_stages(self, x: Any, blocks: int) -> Any:
        """Add three stages of 16, 32 and 64 channels; a bare 1×1 convolution where the channels change."""
        for channels in (16, 32, 64):
            for block in range(blocks):
                halves = channels > 16 and block == 0
                y = self.norm_relu(self.conv(x, channels, 3, 2 if halves else 1))
                y = self.layers.BatchNormalization()(self.conv(y, channels, 3))
                x = self.conv(x, channels, 1, 2) if halves else x
                x = self.layers.Activation("relu")(self.layers.Add()([x, y]))
        return x

    def bottleneck_stages(self, x: Any, blocks: int) -> Any:
        """Add three stages that end with 64, 128 and 256 channels, and the last normalisation and activation."""
        inner, outer = 16, 64
        for stage in range(3):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                # What the stem gives is activated already: the very first unit does not do it again.
                y = self.conv(self.norm_relu(x) if stage or block else x, inner, 1, stride)
                y = self.conv(self.norm_relu(y), inner, 3)
                y = self.conv(self.norm_relu(y), outer, 1)
                x = x if block else self.conv(x, outer, 1, stride)
                x = self.layers.Add()([x, y])
            inner, outer = outer, 2 * outer
        return self.norm_relu(x)
