"""A linear probe: the network stands still, and the classifier is the minimum that scikit-learn finds too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from residua._base.console import Display
from residua._base.errors import InputError
from residua._base.signals import StopRequest
from residua.data.splitting import fold_of
from residua.evaluation.evaluate import evaluate
from residua.evaluation.measures.logistic import PENALTIES, choose_penalty, standardised
from residua.inference.predict import predict
from residua.training.loop import train
from residua.training.plan import open_plan
from residua.training.recipe import Recipe
from residua.training.recipe_file import load_recipe
from residua.training.request import ask
from residua.training.step.probe import collect_views
from residua.training.trainer import Trainer
from residua.weights.open import load

PROBE: dict[str, Any] = {
    "image_size": 16,
    "train_images": 203,
    "workers": 1,
    "device": "cpu",
    "precision": "fp32",
    "probe_views": 3,
}


@pytest.fixture(scope="module")
def probed(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A probe of digits on a network of digits."""
    folder = tmp_path_factory.mktemp("probe") / "run"
    train("digits", "cifar_resnet8", "probe", folder, weights=finished, progress=False, **PROBE)
    return folder


def views_of(folder: Path, finished: Path) -> Any:
    request = ask("digits", "cifar_resnet8", "probe", folder, resume=False, weights=finished, **PROBE)
    trainer = Trainer(open_plan(request), Display(False))
    trainer.begin()
    with StopRequest("") as stop:
        return collect_views(trainer, stop), trainer


def test_all_but_the_classifier_stands_still(probed: Path, finished: Path) -> None:
    before, after = load(finished).model.state_dict(), load(probed).model.state_dict()
    for name, tensor in after.items():
        assert torch.equal(tensor, before[name]) == (not name.startswith("fc.")), name


def test_each_image_is_seen_once_plainly_and_then_in_views_of_its_own(probed: Path, finished: Path) -> None:
    views, trainer = views_of(probed.parent / "views", finished)
    count, batch = len(trainer.plan.train.split), trainer.plan.recipe.batch_size
    assert views.images == count
    assert views.rows[:count].tolist() == list(range(count))
    assert len(views.rows) == count + 2 * (count // batch) * batch
    assert len(set(views.rows[count : count + count // batch * batch])) == count // batch * batch
    again, _ = views_of(probed.parent / "views", finished)
    assert np.array_equal(again.features, views.features)
    # The same image differs from view to view.
    row = int(np.flatnonzero(views.rows[count:] == 0)[0]) + count if 0 in views.rows[count:] else count
    assert not np.allclose(views.features[views.rows[row]], views.features[row])


def test_the_classifier_is_that_of_scikit_learn(probed: Path, finished: Path) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    views, trainer = views_of(probed.parent / "again", finished)
    scaled = standardised(views.features)
    labels = views.labels[: views.images]
    folds = fold_of(labels, None, 5, trainer.plan.recipe.seed)
    penalty, answers = choose_penalty(scaled[: views.images], labels, 10, folds)
    assert penalty in PENALTIES
    assert answers.shape == (views.images, 10)
    peer = linear.LogisticRegression(C=1 / (len(scaled) * penalty), tol=1e-8, max_iter=5000)
    peer.fit(scaled, views.labels)
    head = load(probed).model.get_submodule("fc")
    ours = torch.from_numpy(views.features) @ head.weight.T + head.bias  # type: ignore[operator]
    theirs = torch.from_numpy(peer.decision_function(scaled))
    centred = [each - each.mean(dim=1, keepdim=True) for each in (ours.double(), theirs)]
    assert (centred[0] - centred[1]).abs().max() < 2e-2 * centred[1].abs().max()


def test_a_probe_is_a_run_like_any_other(probed: Path, finished: Path, tmp_path: Path) -> None:
    run = load(probed)
    assert run.metrics["top1"] > 0.3
    assert run.recipe is not None
    assert (run.recipe["name"], run.recipe["weights"]) == ("probe", "required")
    report = evaluate(run)
    assert report.top1 == pytest.approx(run.metrics["top1"])
    image = tmp_path / "x.png"
    Image.new("L", (8, 8), 120).save(image)
    assert predict(run, [image])[0].labels
    again = train("digits", "cifar_resnet8", "probe", tmp_path / "run", weights=finished, progress=False, **PROBE)
    assert again.weights_sha256 == run.weights_sha256


def test_what_goes_on_from_a_probe_keeps_its_classifier(probed: Path, tmp_path: Path) -> None:
    fields = {**PROBE, "probe_views": 0}
    request = ask("digits", "cifar_resnet8", "finetune", tmp_path / "run", resume=False, weights=probed, **fields)
    trainer = Trainer(open_plan(request), Display(False))
    trainer.begin()
    kept = load(probed).model.state_dict()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in trainer.model.state_dict().items())
    assert all(parameter.requires_grad for parameter in trainer.model.parameters())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 3}, "epochs=1, since the classifier is fitted once"),
        ({"freeze": ""}, "freeze='backbone'"),
        ({"label_smoothing": 0.1}, "label_smoothing=0"),
        ({"balance": "logits"}, "balance='sampler'"),
        ({"mixup": 0.2}, "mixup=0"),
    ],
)
def test_what_a_probe_has_no_use_for_is_refused(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        ask("digits", "cifar_resnet8", "probe", tmp_path / "run", resume=False, **fields)


@pytest.mark.parametrize("recipe", ["probe", "finetune"])
def test_they_need_weights(recipe: str, tmp_path: Path) -> None:
    assert load_recipe(recipe).weights == "required"
    with pytest.raises(InputError, match="without weights to begin with"):
        train("digits", "cifar_resnet8", recipe, tmp_path / "run", progress=False)
    with pytest.raises(InputError, match="weights to begin with"):
        train("digits", "resnet18", recipe, tmp_path / "run", progress=False, weights="none")
    assert not (tmp_path / "run").exists()


def test_the_default_is_training_as_usual() -> None:
    assert Recipe().probe_views == 0
