"""Write tests/reference/slim_resnet_v2_50.json: what TF-slim's resnet_v2_50 computes from weights drawn by name.

TF-slim needs an old TensorFlow, in an environment of its own: tensorflow-cpu==2.15.1, tf-slim==1.1.0 (Python 3.11).
"""

import importlib
import json
import sys
import types
import zlib
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parents[1] / "tests/reference/slim_resnet_v2_50.json"
CASES = ((64, None), (75, None), (64, 8), (75, 16))


def draw(name: str, shape: list[int]) -> np.ndarray:
    """Return the weights of a variable, drawn by its name; tests/peers/test_slim.py draws the same."""
    generator = np.random.RandomState(zlib.crc32(name.encode()))
    leaf = name.rsplit("/", 1)[1]
    if leaf == "weights":
        return (generator.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:3]))).astype(np.float32)
    low, high = {"gamma": (0.6, 1.4), "moving_variance": (0.5, 2.0)}.get(leaf, (-0.3, 0.3))
    return generator.uniform(low, high, shape).astype(np.float32)


def summary(value: np.ndarray) -> list:
    """Return the shape without the batch, mean, deviation, and four of the values in NHWC order."""
    flat = value.astype(np.float64).reshape(-1)
    picks = [flat[i] for i in (0, len(flat) // 3, len(flat) // 2, len(flat) - 1)]
    return [list(value.shape[1:]), [float(f"{v:.7g}") for v in (flat.mean(), flat.std(), *picks)]]


def _slim():
    """Import TF-slim; TensorFlow 2.15 looks for its old layers in a package that has moved."""
    sys.modules["tf_keras"] = types.ModuleType("tf_keras")
    for name in ("", ".base", ".convolutional", ".core", ".normalization", ".pooling"):
        sys.modules[f"tf_keras.legacy_tf_layers{name}"] = importlib.import_module(f"keras.src.legacy_tf_layers{name}")
    import tensorflow as tf

    tf.compat.v1.disable_v2_behavior()
    import tf_slim
    from tf_slim.nets import resnet_v2

    return tf.compat.v1, tf_slim, resnet_v2


def main() -> None:
    tf, slim, resnet_v2 = _slim()
    lines = []
    for size, stride in CASES:
        tf.reset_default_graph()
        image = tf.placeholder(tf.float32, (1, size, size, 3))
        with slim.arg_scope(resnet_v2.resnet_arg_scope()):
            _, points = resnet_v2.resnet_v2_50(image, num_classes=1000, is_training=False, output_stride=stride)
        with tf.Session() as session:
            for variable in tf.global_variables():
                variable.load(draw(variable.name[:-2], variable.shape.as_list()), session)
            pixels = np.random.RandomState(size).standard_normal((1, size, size, 3)).astype(np.float32)
            values = session.run(points, {image: pixels})
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(summary(value))}" for name, value in values.items())
        lines.append(f' {{"size": {size}, "output_stride": {stride or 0}, "points": {{\n{rows}}}}}')
    TARGET.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
