"""TF-slim's networks written with TensorFlow's own operations, each variable under the name that TF-slim gives it.

They run at once: a graph of a thousand variables takes longer to make than to run.

TF-slim itself needs a TensorFlow of 2023. What stands here follows its published graphs (tf-slim
1.1.0; inception_v4 and inception_resnet_v2 of the models repository): the scopes, the order of layers, the paddings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

# "Conv2d_0a_1x1:64" is a convolution of 64 channels; "/2V" behind it: stride 2, VALID. A list stands side by side.
Step = str | list[str]
LIMITS = {"gamma": (0.6, 1.4), "beta": (-0.3, 0.3), "biases": (-0.3, 0.3), "moving_mean": (-0.3, 0.3)}
LIMITS |= {"moving_variance": (0.5, 2.0)}


class Variables:
    """What a network has learnt, by TF-slim's names, each drawn when it is first asked for.

    Args:
        tf: the module `tensorflow.compat.v1`.
    """

    def __init__(self, tf: Any) -> None:
        self.tf, self.values = tf, dict[str, Any]()
        self._scopes: list[str] = []
        self._generator = np.random.default_rng(0)

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Put `name/` before the names of what is asked for inside."""
        self._scopes.append(name)
        yield
        self._scopes.pop()

    def get(self, leaf: str, shape: Sequence[int]) -> Any:
        """The tensor of this name in the scopes around."""
        name = "/".join(part for part in (*self._scopes, leaf) if part)
        if name not in self.values:
            if leaf == "weights":
                value = self._generator.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
            else:
                value = self._generator.uniform(*LIMITS.get(leaf, (0, 1)), shape)
            self.values[name] = self.tf.constant(value, self.tf.float32)
        assert self.values[name].shape == tuple(shape), name
        return self.values[name]

    def save(self, prefix: str, version: int) -> None:
        """Write a checkpoint with the operations of TensorFlow's Saver, in format 1 or 2."""
        names, slices = list(self.values), [""] * len(self.values)
        if version == 1:
            write, key = self.tf.raw_ops.SaveSlices, {"filename": prefix, "shapes_and_slices": slices}
            write(**key, tensor_names=names, data=list(self.values.values()))
        else:
            write, key = self.tf.raw_ops.SaveV2, {"prefix": prefix, "shape_and_slices": slices}
            write(**key, tensor_names=names, tensors=list(self.values.values()))


class Slim:
    """The few layers of TF-slim that the networks need.

    Args:
        variables: the network's.
        epsilon: of batch normalisation.
        scale: whether batch normalisation has a gamma.
    """

    def __init__(self, variables: Variables, epsilon: float, scale: bool) -> None:
        self.tf, self.scope, self._variable = variables.tf, variables.scope, variables.get
        self.epsilon, self.scale = epsilon, scale

    def conv(
        self,
        x: Any,
        scope: str,
        width: int,
        kernel: tuple[int, int],
        *,
        stride: int = 1,
        padding: Any = "SAME",
        norm: bool = True,
        bias: bool = False,
        active: bool = True,
    ) -> Any:
        """Convolution; then batch normalisation, or a bias; then ReLU."""
        with self.scope(scope):
            shape = (*kernel, int(x.shape[-1]), width)
            x = self.tf.nn.conv2d(x, self._variable("weights", shape), stride, padding)
            x = self.norm(x, "BatchNorm") if norm else x
            x = x + self._variable("biases", (width,)) if bias else x
        return self.tf.nn.relu(x) if active else x

    def norm(self, x: Any, scope: str) -> Any:
        """Batch normalisation by the moving statistics."""
        with self.scope(scope):
            shape = (int(x.shape[-1]),)
            gamma = self._variable("gamma", shape) if self.scale else None
            beta, mean = self._variable("beta", shape), self._variable("moving_mean", shape)
            variance = self._variable("moving_variance", shape)
            return self.tf.nn.batch_normalization(x, mean, variance, beta, gamma, self.epsilon)

    def dense(self, x: Any, scope: str, width: int) -> Any:
        """Fully connected layer."""
        with self.scope(scope):
            kernel = self._variable("weights", (int(x.shape[-1]), width))
            return self.tf.matmul(x, kernel) + self._variable("biases", (width,))

    def steps(self, x: Any, steps: Sequence[Step]) -> Any:
        """A branch: convolutions by their notation, "avg" and "max" for pools."""
        for step in steps:
            if isinstance(step, list):
                x = self.tf.concat([self.steps(x, [part]) for part in step], 3)
            elif step == "avg":
                x = self.tf.nn.avg_pool2d(x, 3, 1, "SAME")
            elif step == "max":
                x = self.tf.nn.max_pool2d(x, 3, 2, "VALID")
            else:
                scope, width, kernel, stride, valid = _parsed(step)
                x = self.conv(x, scope, width, kernel, stride=stride, padding="VALID" if valid else "SAME")
        return x

    def block(self, x: Any, scope: str, *branches: Sequence[Step]) -> Any:
        """Branches side by side, joined."""
        ends = []
        for place, steps in enumerate(branches):
            with self.scope(scope), self.scope(f"Branch_{place}"):
                ends.append(self.steps(x, steps))
        return self.tf.concat(ends, 3)


def _parsed(step: str) -> tuple[str, int, tuple[int, int], int, bool]:
    found = re.fullmatch(r"(\w+):(\d+)(?:@(\d)x(\d))?(?:/(\d))?(V?)", step)
    assert found, step
    scope, width, height, breadth, stride, valid = found.groups()
    # The name holds the kernel, save where slim's name errs.
    named = re.search(r"(\d)x(\d)$", scope)
    kernel = (height, breadth) if height else named.groups() if named else ("1", "1")
    return scope, int(width), (int(kernel[0]), int(kernel[1])), int(stride or 1), bool(valid)


def resnet_v2(variables: Variables, image: Any, depths: Sequence[int], classes: int, scope: str) -> dict[str, Any]:
    """Pre-activated bottlenecks; stride in the last unit of all stages but the last."""
    tf, slim = variables.tf, Slim(variables, 1e-5, scale=True)
    with slim.scope(scope):
        x = slim.conv(image, "conv1", 64, (7, 7), stride=2, padding=_around(3), norm=False, bias=True, active=False)
        x = tf.nn.max_pool2d(x, 3, 2, "SAME")
        for stage, width, unit, stride in _units(depths):
            with slim.scope(f"block{stage}/unit_{unit}/bottleneck_v2"):
                active = tf.nn.relu(slim.norm(x, "preact"))
                bare: dict[str, Any] = {"norm": False, "bias": True, "active": False}
                skip = slim.conv(active, "shortcut", 4 * width, (1, 1), stride=stride, **bare) if unit == 1 else x
                skip = tf.nn.max_pool2d(x, 1, stride, "SAME") if unit > 1 and stride > 1 else skip
                y = slim.conv(active, "conv1", width, (1, 1))
                y = slim.conv(y, "conv2", width, (3, 3), stride=stride, padding=_around(1))
                x = skip + slim.conv(y, "conv3", 4 * width, (1, 1), **bare)
        x = tf.reduce_mean(tf.nn.relu(slim.norm(x, "postnorm")), [1, 2], keepdims=True)
        logits = slim.conv(x, "logits", classes, (1, 1), norm=False, bias=True, active=False)
    return {"logits": tf.squeeze(logits, [1, 2])}


def resnet_v1(variables: Variables, image: Any, depths: Sequence[int], classes: int, scope: str) -> dict[str, Any]:
    """The original bottlenecks; stride in the last unit of all stages but the last."""
    tf, slim = variables.tf, Slim(variables, 1e-5, scale=True)
    with slim.scope(scope):
        x = slim.conv(image, "conv1", 64, (7, 7), stride=2, padding=_around(3))
        x = tf.nn.max_pool2d(x, 3, 2, "SAME")
        for stage, width, unit, stride in _units(depths):
            with slim.scope(f"block{stage}/unit_{unit}/bottleneck_v1"):
                skip = slim.conv(x, "shortcut", 4 * width, (1, 1), stride=stride, active=False) if unit == 1 else x
                skip = tf.nn.max_pool2d(x, 1, stride, "SAME") if unit > 1 and stride > 1 else skip
                y = slim.conv(x, "conv1", width, (1, 1))
                y = slim.conv(y, "conv2", width, (3, 3), stride=stride, padding=_around(1))
                x = tf.nn.relu(skip + slim.conv(y, "conv3", 4 * width, (1, 1), active=False))
        x = tf.reduce_mean(x, [1, 2], keepdims=True)
        logits = slim.conv(x, "logits", classes, (1, 1), norm=False, bias=True, active=False)
    return {"logits": tf.squeeze(logits, [1, 2])}


def inception_v3(variables: Variables, image: Any, classes: int) -> dict[str, Any]:
    """The scopes of TF-slim's inception_v3, its three slips among them."""
    tf, slim = variables.tf, Slim(variables, 1e-3, scale=False)
    with slim.scope("InceptionV3"):
        x = slim.steps(image, [*_stem(2), "max", "Conv2d_3b_1x1:80V", "Conv2d_4a_3x3:192V", "max"])
        for block, pooled in (("b", 32), ("c", 64), ("d", 64)):
            fives = ["Conv2d_0a_1x1:48", "Conv2d_0b_5x5:64"]
            if block == "c":
                fives = ["Conv2d_0b_1x1:48", "Conv_1_0c_5x5:64"]
            threes = ["Conv2d_0a_1x1:64", "Conv2d_0b_3x3:96", "Conv2d_0c_3x3:96"]
            last = ["avg", f"Conv2d_0b_1x1:{pooled}"]
            x = slim.block(x, f"Mixed_5{block}", ["Conv2d_0a_1x1:64"], fives, threes, last)
        second = ["Conv2d_0a_1x1:64", "Conv2d_0b_3x3:96", "Conv2d_1a_1x1:96@3x3/2V"]
        x = slim.block(x, "Mixed_6a", ["Conv2d_1a_1x1:384@3x3/2V"], second, ["max"])
        for block, w in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
            once = [f"Conv2d_0a_1x1:{w}", f"Conv2d_0b_1x7:{w}", "Conv2d_0c_7x1:192"]
            twice = [f"Conv2d_0a_1x1:{w}", f"Conv2d_0b_7x1:{w}", f"Conv2d_0c_1x7:{w}", f"Conv2d_0d_7x1:{w}"]
            last = ["avg", "Conv2d_0b_1x1:192"]
            x = slim.block(x, f"Mixed_6{block}", ["Conv2d_0a_1x1:192"], once, [*twice, "Conv2d_0e_1x7:192"], last)
        with slim.scope("AuxLogits"):
            aux = tf.nn.avg_pool2d(x, 5, 3, "VALID")
            aux = slim.steps(aux, ["Conv2d_1b_1x1:128", "Conv2d_2a_5x5:768V"])
            aux = slim.conv(aux, "Conv2d_2b_1x1", classes, (1, 1), norm=False, bias=True, active=False)
        sevens = ["Conv2d_0a_1x1:192", "Conv2d_0b_1x7:192", "Conv2d_0c_7x1:192", "Conv2d_1a_3x3:192/2V"]
        x = slim.block(x, "Mixed_7a", ["Conv2d_0a_1x1:192", "Conv2d_1a_3x3:320/2V"], sevens, ["max"])
        for block, high in (("b", "Conv2d_0b_3x1:384"), ("c", "Conv2d_0c_3x1:384")):
            split: list[Step] = ["Conv2d_0a_1x1:384", ["Conv2d_0b_1x3:384", high]]
            deep: list[Step] = ["Conv2d_0a_1x1:448", "Conv2d_0b_3x3:384", ["Conv2d_0c_1x3:384", "Conv2d_0d_3x1:384"]]
            x = slim.block(x, f"Mixed_7{block}", ["Conv2d_0a_1x1:320"], split, deep, ["avg", "Conv2d_0b_1x1:192"])
        x = tf.reduce_mean(x, [1, 2], keepdims=True)
        logits = slim.conv(x, "Logits/Conv2d_1c_1x1", classes, (1, 1), norm=False, bias=True, active=False)
    return {"logits": tf.squeeze(logits, [1, 2]), "aux": tf.squeeze(aux, [1, 2])}


def inception_v4(variables: Variables, image: Any, classes: int) -> dict[str, Any]:
    """Four blocks of A, seven of B, three of C."""
    tf, slim = variables.tf, Slim(variables, 1e-3, scale=False)
    with slim.scope("InceptionV4"):
        x = slim.steps(image, _stem(2))
        x = slim.block(x, "Mixed_3a", ["max"], ["Conv2d_0a_3x3:96/2V"])
        sevens = ["Conv2d_0a_1x1:64", "Conv2d_0b_1x7:64", "Conv2d_0c_7x1:64", "Conv2d_1a_3x3:96V"]
        x = slim.block(x, "Mixed_4a", ["Conv2d_0a_1x1:64", "Conv2d_1a_3x3:96V"], sevens)
        x = slim.block(x, "Mixed_5a", ["Conv2d_1a_3x3:192/2V"], ["max"])
        for block in "bcde":
            twice = ["Conv2d_0a_1x1:64", "Conv2d_0b_3x3:96"]
            last = ["avg", "Conv2d_0b_1x1:96"]
            x = slim.block(x, f"Mixed_5{block}", ["Conv2d_0a_1x1:96"], twice, [*twice, "Conv2d_0c_3x3:96"], last)
        second = ["Conv2d_0a_1x1:192", "Conv2d_0b_3x3:224", "Conv2d_1a_3x3:256/2V"]
        x = slim.block(x, "Mixed_6a", ["Conv2d_1a_3x3:384/2V"], second, ["max"])
        for block in "bcdefgh":
            once = ["Conv2d_0a_1x1:192", "Conv2d_0b_1x7:224", "Conv2d_0c_7x1:256"]
            deep = ["Conv2d_0a_1x1:192", "Conv2d_0b_7x1:192", "Conv2d_0c_1x7:224", "Conv2d_0d_7x1:224"]
            last = ["avg", "Conv2d_0b_1x1:128"]
            x = slim.block(x, f"Mixed_6{block}", ["Conv2d_0a_1x1:384"], once, [*deep, "Conv2d_0e_1x7:256"], last)
        aux = _aux(slim, x, "Conv2d_2a", "Aux_logits", classes)
        sevens = ["Conv2d_0a_1x1:256", "Conv2d_0b_1x7:256", "Conv2d_0c_7x1:320", "Conv2d_1a_3x3:320/2V"]
        x = slim.block(x, "Mixed_7a", ["Conv2d_0a_1x1:192", "Conv2d_1a_3x3:192/2V"], sevens, ["max"])
        for block in "bcd":
            split: list[Step] = ["Conv2d_0a_1x1:384", ["Conv2d_0b_1x3:256", "Conv2d_0c_3x1:256"]]
            deep_split: list[Step] = ["Conv2d_0a_1x1:384", "Conv2d_0b_3x1:448", "Conv2d_0c_1x3:512"]
            deep_split += [["Conv2d_0d_1x3:256", "Conv2d_0e_3x1:256"]]
            last = ["avg", "Conv2d_0b_1x1:256"]
            x = slim.block(x, f"Mixed_7{block}", ["Conv2d_0a_1x1:256"], split, deep_split, last)
        logits = slim.dense(tf.reduce_mean(x, [1, 2]), "Logits/Logits", classes)
    return {"logits": logits, "aux": aux}


def inception_resnet_v2(variables: Variables, image: Any, classes: int) -> dict[str, Any]:
    """10, 20 and 10 residual blocks; the last adds its branch whole and is not activated."""
    tf, slim = variables.tf, Slim(variables, 1e-3, scale=False)

    def residual(x: Any, scope: str, scale: float, *branches: Sequence[Step], active: bool = True) -> Any:
        width = int(x.shape[-1])
        with slim.scope(scope):
            joined = slim.block(x, "", *branches)
            up = slim.conv(joined, "Conv2d_1x1", width, (1, 1), norm=False, bias=True, active=False)
        return tf.nn.relu(x + scale * up) if active else x + scale * up

    with slim.scope("InceptionResnetV2"):
        x = slim.steps(image, [*_stem(2), "max", "Conv2d_3b_1x1:80V", "Conv2d_4a_3x3:192V", "max"])
        threes = ["Conv2d_0a_1x1:64", "Conv2d_0b_3x3:96", "Conv2d_0c_3x3:96"]
        fives = ["Conv2d_0a_1x1:48", "Conv2d_0b_5x5:64"]
        x = slim.block(x, "Mixed_5b", ["Conv2d_1x1:96"], fives, threes, ["avg", "Conv2d_0b_1x1:64"])
        for unit in range(1, 11):
            twice, thrice = ["Conv2d_0a_1x1:32", "Conv2d_0b_3x3:32"], ["Conv2d_0b_3x3:48", "Conv2d_0c_3x3:64"]
            branches = ["Conv2d_1x1:32"], twice, [twice[0], *thrice]
            x = residual(x, f"Repeat/block35_{unit}", 0.17, *branches)
        second = ["Conv2d_0a_1x1:256", "Conv2d_0b_3x3:256", "Conv2d_1a_3x3:384/2V"]
        x = slim.block(x, "Mixed_6a", ["Conv2d_1a_3x3:384/2V"], second, ["max"])
        for unit in range(1, 21):
            sevens = ["Conv2d_0a_1x1:128", "Conv2d_0b_1x7:160", "Conv2d_0c_7x1:192"]
            x = residual(x, f"Repeat_1/block17_{unit}", 0.1, ["Conv2d_1x1:192"], sevens)
        aux = _aux(slim, x, "Conv2d_2a_5x5", "Logits", classes)
        first = ["Conv2d_0a_1x1:256", "Conv2d_1a_3x3:384/2V"]
        third = ["Conv2d_0a_1x1:256", "Conv2d_0b_3x3:288", "Conv2d_1a_3x3:320/2V"]
        x = slim.block(x, "Mixed_7a", first, ["Conv2d_0a_1x1:256", "Conv2d_1a_3x3:288/2V"], third, ["max"])
        narrow = ["Conv2d_0a_1x1:192", "Conv2d_0b_1x3:224", "Conv2d_0c_3x1:256"]
        for unit in range(1, 10):
            x = residual(x, f"Repeat_2/block8_{unit}", 0.2, ["Conv2d_1x1:192"], narrow)
        x = residual(x, "Block8", 1.0, ["Conv2d_1x1:192"], narrow, active=False)
        x = slim.steps(x, ["Conv2d_7b_1x1:1536"])
        logits = slim.dense(tf.reduce_mean(x, [1, 2]), "Logits/Logits", classes)
    return {"logits": logits, "aux": aux}


def _aux(slim: Slim, x: Any, second: str, last: str, classes: int) -> Any:
    with slim.scope("AuxLogits"):
        x = slim.tf.nn.avg_pool2d(x, 5, 3, "VALID")
        x = slim.steps(x, ["Conv2d_1b_1x1:128", f"{second}:768@5x5V"])
        return slim.dense(slim.tf.reshape(x, (-1, 768)), last, classes)


def _stem(stride: int) -> list[Step]:
    return [f"Conv2d_1a_3x3:32/{stride}V", "Conv2d_2a_3x3:32V", "Conv2d_2b_3x3:64"]


def _around(pixels: int) -> list[list[int]]:
    """Padding on both sides of rows and columns, where slim's `conv2d_same` pads itself."""
    return [[0, 0], [pixels, pixels], [pixels, pixels], [0, 0]]


def _units(depths: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """(stage, width, unit, stride), stages and units from 1."""
    return [
        (stage, 32 * 2**stage, unit, 2 if unit == depth and stage < len(depths) else 1)
        for stage, depth in enumerate(depths, 1)
        for unit in range(1, depth + 1)
    ]


def saved(
    tf: Any,
    make: Callable[[Variables, Any], dict[str, Any]],
    prefix: str,
    version: int,
    images: Sequence[np.ndarray],
    beside: Sequence[str] = (),
) -> list[dict[str, np.ndarray]]:
    """Draw every variable, save them as TensorFlow's Saver does, and return what the network makes of each image.

    Args:
        tf: the module `tensorflow.compat.v1`.
        make: variables and image -> outputs by name.
        prefix: of the checkpoint.
        version: of its format, 1 or 2.
        images: (B, H, W, 3) float32, one or more.
        beside: names of scalars that are saved too.
    """
    variables = Variables(tf)
    found = [{name: value.numpy() for name, value in make(variables, tf.constant(image)).items()} for image in images]
    for name in beside:
        variables.get(name, ())
    variables.save(prefix, version)
    return found
