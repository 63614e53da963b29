"""Checkpoints of TF-slim's networks, written by TensorFlow, become networks with TensorFlow's logits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peers import slim_graphs
from residua._base.errors import InputError
from residua.families.build import build
from residua.families.network import Classifier
from residua.specs.catalog import get_spec
from residua.weights.open import load
from residua.weights.sources.read_source import get_source, read_weights

DEPTHS = (3, 4, 6, 3)
# A stage of three has an entering unit, an ordinary one and one that subsamples; the next two lack some of them.
FEW = (3, 2, 1, 1)
CLASSES = 1001


@pytest.fixture(scope="module")
def tf(tensorflow: Any) -> Any:
    """TensorFlow's first interface, which TF-slim is written in."""
    return tensorflow.compat.v1


def _image(size: int) -> np.ndarray:
    return np.random.default_rng(size).uniform(-1, 1, (1, size, size, 3)).astype(np.float32)


def _converted(path: Path, name: str, **edits: Any) -> Classifier:
    found = read_weights(path, get_spec(name, **edits))
    assert found.source == "slim"
    network = build(found.spec).eval()
    network.load_state_dict(found.tensors)
    return network


def _error(got: torch.Tensor, want: np.ndarray) -> float:
    assert want.std() > 1e-3
    return float(np.abs(got.numpy() - want).max() / np.abs(want).max())


def _ours(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(0, 3, 1, 2)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("release", [1, 2])
@torch.no_grad()
def test_resnet(release: int, version: int, tf: Any, tmp_path: Path) -> None:
    make = slim_graphs.resnet_v1 if release == 1 else slim_graphs.resnet_v2
    images = [_image(64), _image(75)]
    path = tmp_path / "it.ckpt"
    scope = f"resnet_v{release}_50"
    wanted = slim_graphs.saved(tf, lambda v, x: make(v, x, FEW, CLASSES, scope), str(path), version, images)
    network = _converted(path, "resnet50_v1" if release == 1 else "resnet50_v2_slim", depths=FEW)
    assert network.spec.num_classes == 1000
    for image, want in zip(images, wanted, strict=True):
        assert _error(network(_ours(image)), want["logits"][:, 1:]) <= 1e-5


@pytest.mark.parametrize("name", ["inception_v3", "inception_v4", "inception_resnet_v2"])
@torch.no_grad()
def test_inceptions_and_their_auxiliary_heads(name: str, tf: Any, tmp_path: Path) -> None:
    path = tmp_path / "it.ckpt"
    image = _image(299)
    make = getattr(slim_graphs, name)
    (want,) = slim_graphs.saved(tf, lambda v, x: make(v, x, CLASSES), str(path), 2, [image])
    network = _converted(path, name)
    (end_point, head), *others = network.aux_heads().items()
    assert not others
    x, aux = _ours(image), None
    for point, part in network.parts():
        x = part(x)
        aux = head(x.clone()) if point == end_point else aux
    assert aux is not None
    assert _error(aux, want["aux"][:, 1:]) <= 1e-5
    assert _error(network.forward_head(x), want["logits"][:, 1:]) <= 1e-5


def _without(folder: Path) -> dict[str, str]:
    """An environment in which nobody, no child process either, can import what must not be needed."""
    folder.mkdir()
    for name in ("tensorflow", "keras", "tf_keras", "h5py"):
        (folder / f"{name}.py").write_text("raise ImportError('blocked')\n")
    paths = [str(folder), *(path for path in sys.path if path)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def test_the_command_without_tensorflow(tf: Any, tmp_path: Path) -> None:
    """The background goes, what training keeps stays behind and is named, and the run is fed as slim feeds it."""
    weights = "resnet_v2_50/conv1/weights"
    beside = ["global_step", f"{weights}/Momentum", f"{weights}/RMSProp_1", f"{weights}/ExponentialMovingAverage"]
    path = tmp_path / "model.ckpt-1234"
    slim_graphs.saved(
        tf,
        lambda v, x: slim_graphs.resnet_v2(v, x, DEPTHS, CLASSES, "resnet_v2_50"),
        str(path),
        2,
        [_image(32)],
        beside,
    )
    words = [str(path), "--model", "resnet50_v2_slim", "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "residua", "convert", *words],
        env=_without(tmp_path / "blocked"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the background" in done.stderr
    assert "training left out: 4 tensors, global_step," in done.stderr
    run = load(tmp_path / "run")
    assert (len(run.classes), run.classes[0]) == (1000, "tench")
    fed = run.preprocess_spec
    assert (fed.image_size, fed.resize, fed.mean, fed.std) == (299, 342, (0.5,) * 3, (0.5,) * 3)


def test_refusals(tf: Any, tmp_path: Path) -> None:
    path = tmp_path / "it.ckpt"
    units = (1, 1, 1, 1)
    slim_graphs.saved(
        tf, lambda v, x: slim_graphs.resnet_v1(v, x, units, 5, "resnet_v1_50"), str(path), 2, [_image(32)]
    )
    with pytest.raises(InputError, match="Did you mean resnet50_v2_slim"):
        read_weights(path, get_spec("resnet50_v2"))
    with pytest.raises(InputError, match=r"missing: .*layer1"):
        read_weights(path, get_spec("resnet50_v1"))
    with pytest.raises(InputError, match=r"unexpected: .*bottleneck_v1"):
        read_weights(path, get_spec("resnet50_v2_slim"))


def test_resnet_v1_keeps_the_levels() -> None:
    fed = get_source("slim").preprocess(get_spec("resnet50_v1"), "resnet_v1_50.ckpt")
    level = (torch.tensor([255.0, 0.0, 128.0]) / 255 - torch.tensor(fed.mean)) / torch.tensor(fed.std)
    assert torch.allclose(level, torch.tensor([255 - 123.68, -116.78, 128 - 103.94]), atol=1e-4)
