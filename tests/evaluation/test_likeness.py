"""Training images like the worst mistakes, and the map: the nearest by cosine, and scikit-learn's components."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.runs import colour_folder, colour_run
from residua._base.errors import InputError
from residua.cli.app import main
from residua.evaluation.evaluate import evaluate
from residua.evaluation.likeness import principal_plane
from residua.weights.open import load
from residua.weights.run import Run

WRONG = [("red", "blue"), ("green", "red"), ("blue", "green")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    photos = tmp_path_factory.mktemp("alike") / "photos"
    colour_folder(photos / "train", count=6)
    colour_folder(photos / "val", WRONG, count=4)
    generator = np.random.default_rng(0)
    for path in sorted(photos.rglob("*.png")):
        pixels = np.asarray(Image.open(path)).astype(int) + generator.integers(-40, 41, (8, 8, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return load(colour_run(photos.parent / "run", data=photos))


def test_the_plane_is_scikit_learns() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    features = np.random.default_rng(0).normal(size=(50, 7)) * np.arange(1, 8)
    plane, share = principal_plane(features)
    fitted = decomposition.PCA(2, svd_solver="full").fit(features)
    theirs = fitted.transform(features)
    signs = np.sign((plane * theirs).sum(0))
    assert plane == pytest.approx(theirs * signs, abs=1e-9)
    assert share == pytest.approx(fitted.explained_variance_ratio_.sum(), abs=1e-12)
    assert principal_plane(np.ones((4, 3)))[1] == 0


def test_mistakes_stand_beside_training_images_of_the_class_that_they_show(run: Run) -> None:
    report = evaluate(run, neighbours=True)
    assert report.likeness is not None
    alike = report.likeness
    assert {(each.path, each.true, each.predicted) for each in alike.mistakes} == {
        (f"val/{name}/wrong{index}.png", name, colour) for index, (name, colour) in enumerate(WRONG)
    }
    for each in alike.mistakes:
        assert {near.label for near in each.neighbours} == {each.predicted}
        assert all(near.path.startswith(f"train/{each.predicted}/") for near in each.neighbours)
        cosines = [near.cosine for near in each.neighbours]
        assert cosines == sorted(cosines, reverse=True)
    assert (alike.compared, alike.training, alike.mapped) == (18, 18, 15)
    assert alike.variance == pytest.approx(1, abs=0.05)  # three channels that sum up, in two dimensions
    assert str(alike.figure).count('class="ring"') == len(WRONG)
    assert evaluate(run).likeness is None


def test_the_command_writes_the_section(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(run.folder), "--neighbours"]
    assert main([*words, "--report", str(tmp_path / "report"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["likeness"]["mistakes"]) == len(WRONG)
    assert "figure" not in document["likeness"]
    page = (tmp_path / "report" / "report.html").read_text()
    assert 'id="alike"' in page
    assert "ringed: wrong answers" in page
    assert main([*words, "--views", "flip"]) == 2


@pytest.mark.skipif(importlib.util.find_spec("umap") is not None, reason="umap-learn is installed")
def test_a_missing_extra_is_named(run: Run) -> None:
    with pytest.raises(InputError, match=r"residua\[umap\]"):
        evaluate(run, neighbours=True, projection="umap")


@pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="no umap-learn: pip install 'residua[umap]'")
def test_umap_draws_the_map(run: Run) -> None:
    alike = evaluate(run, neighbours=True, projection="umap").likeness
    assert alike is not None
    assert alike.variance is None
    assert "UMAP" in alike.figure
