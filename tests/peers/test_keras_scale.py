"""A network of Keras that takes levels of 0 to 255, or images less their mean, answers as in Keras."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import residua
from peers.test_keras_weights import _cifar_v1
from residua.cli.app import main

pytest.importorskip("h5py", reason="h5py is not installed: pip install 'residua[keras]'")


def test_raw_levels_and_a_mean_image(keras: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, _ = _cifar_v1(keras)
    model.save_weights(tmp_path / "it.weights.h5")
    draw = np.random.default_rng(0)
    levels = draw.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    mean = draw.uniform(0, 255, (32, 32, 3)).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean)
    words = ["convert", str(tmp_path / "it.weights.h5"), "--model", "cifar_resnet20_keras", "--crop", "1"]
    cases = {
        "raw": (["--scale", "255"], levels.astype(np.float32)),
        "centred": (["--scale", "255", "--mean-image", str(tmp_path / "mean.npy")], levels - mean),
        "unit": (["--mean", "0", "--std", "1"], levels / np.float32(255)),
    }
    for name, (flags, fed) in cases.items():
        assert main([*words, *flags, "--out", str(tmp_path / name)]) == 0
        assert "needs --scale 255" not in capsys.readouterr().err
        run = residua.load(tmp_path / name)
        ours = run.model(torch.stack([run.preprocess(image) for image in levels])).detach().numpy()
        theirs = np.asarray(model(fed))
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())
    assert main([*words, "--out", str(tmp_path / "assumed")]) == 0
    assert "needs --scale 255" in capsys.readouterr().err
