"""Checkpoints as TensorFlow writes them, in both formats: our reader sees what TensorFlow's own sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from residua._base.errors import InputError
from residua.weights.files.tf_checkpoint import read_checkpoint

GENERATOR = np.random.default_rng(0)
VALUES: dict[str, np.ndarray] = {
    "net/conv/weights": GENERATOR.standard_normal((3, 3, 64, 32)).astype(np.float32),
    "net/conv/biases": GENERATOR.standard_normal(32).astype(np.float32),
    "net/zeros": np.zeros((64, 64), np.float32),
    "net/none": np.zeros((0, 4), np.float32),
    "scalar": np.float32(-2.5),
    "double": GENERATOR.standard_normal(5),
    "half": GENERATOR.standard_normal(7).astype(np.float16),
    "global_step": np.int64(123456789012),
    "whole": np.array([-1, 2, -(2**31)], np.int32),
    "bytes": np.arange(250, 256).astype(np.uint8),
}


@pytest.fixture(scope="module")
def tf(tensorflow: Any) -> Any:
    return tensorflow


def _save(tf: Any, prefix: Path, version: int, *, shards: int = 1, slices: bool = False) -> None:
    """Save VALUES, and in version 2 what that alone can hold, with variables on as many devices as shards."""
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session(config=v1.ConfigProto(device_count={"CPU": shards})) as session:
        partition = v1.fixed_size_partitioner(2) if slices else None
        if slices:
            v1.get_variable("sliced", (6, 2), partitioner=partition, use_resource=False)
        for place, (name, value) in enumerate(VALUES.items()):
            with tf.device(f"/cpu:{place % shards}"):
                v1.Variable(value, name=name, use_resource=False)
        if version == 2:
            v1.Variable(tf.constant(["no", "number"]), name="text", use_resource=False)
            v1.Variable(np.array([True, False]), name="truth", use_resource=False)
            v1.Variable(tf.cast(tf.constant([1.5, -2.25, 3e10]), tf.bfloat16), name="short", use_resource=False)
        saver = v1.train.Saver(write_version=version, sharded=shards > 1)
        session.run(v1.global_variables_initializer())
        saver.save(session, str(prefix), write_meta_graph=False)


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("version", [1, 2])
def test_every_variable_bit_for_bit(version: int, shards: int, tf: Any, tmp_path: Path) -> None:
    prefix = tmp_path / "model.ckpt-7"
    _save(tf, prefix, version, shards=shards)
    found = read_checkpoint(prefix)
    pattern = f"{prefix}-?????-of-?????" if version == 1 and shards > 1 else str(prefix)
    theirs = tf.train.load_checkpoint(pattern)
    numeric = {name for name, kind in theirs.get_variable_to_dtype_map().items() if kind != tf.string}
    assert found.keys() == numeric >= VALUES.keys()
    for name, values in found.items():
        try:
            want = np.asarray(theirs.get_tensor(name))
        except tf.errors.UnimplementedError:  # TensorFlow's reader of V1 knows fewer types than its writer
            want = np.asarray(VALUES[name])
        if name == "short":
            assert values.dtype == np.float32
        else:
            assert values.dtype == want.dtype
        assert values.shape == want.shape
        assert np.array_equal(values, want.astype(values.dtype)), name
    for other in tmp_path.iterdir():
        if other.name != "checkpoint":
            assert read_checkpoint(other).keys() == found.keys(), other


@pytest.mark.parametrize("version", [1, 2])
def test_slices_are_refused(version: int, tf: Any, tmp_path: Path) -> None:
    _save(tf, tmp_path / "it.ckpt", version, slices=True)
    with pytest.raises(InputError, match=r"sliced.*partitioner"):
        read_checkpoint(tmp_path / "it.ckpt")


@pytest.mark.parametrize("version", [1, 2])
def test_damage(version: int, tf: Any, tmp_path: Path) -> None:
    """Flips in TensorFlow's own files: each is found, or stands where nothing is."""
    _save(tf, tmp_path / "it.ckpt", version)
    whole = read_checkpoint(tmp_path / "it.ckpt")
    files = [path for path in tmp_path.iterdir() if path.name != "checkpoint"]
    found = 0
    for path in files:
        content = path.read_bytes()
        for _ in range(100):
            place = int(GENERATOR.integers(len(content)))
            flipped = content[:place] + bytes([content[place] ^ 1 << int(GENERATOR.integers(8))]) + content[place + 1 :]
            path.write_bytes(flipped)
            try:
                again = read_checkpoint(tmp_path / "it.ckpt")
            except InputError:
                found += 1
            else:
                assert all(np.array_equal(again[name], whole[name]) for name in whole)
        path.write_bytes(content)
    assert found > 80 * len(files)
