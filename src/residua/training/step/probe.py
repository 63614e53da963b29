"""A linear probe: features of the frozen network computed once, and its classifier fitted to them, for few images."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from residua._base.errors import InputError
from residua._base.signals import StopRequest
from residua._base.words import clock
from residua.data.loader import Loader
from residua.data.splitting import balanced, fold_of
from residua.evaluation.measures.logistic import LogisticRegression, choose_penalty, fit_logistic, standardised
from residua.evaluation.measures.metrics import FloatArray, IntArray
from residua.families.features import FeatureNetwork, classifier_module
from residua.training.trainer import Trainer

FOLDS = 5
"""Parts of the training images by which the penalty is chosen."""
_MOST_JUDGED = 4000  # images by which it is chosen: with more it does not move
_LARGEST_BATCH = 64  # nothing is kept for a backward pass


@dataclass(frozen=True, eq=False)
class Views:
    """Features of the training images in several views.

    Attributes:
        features: float32 (N, D).
        labels: int64 (N,).
        rows: int64 (N,), positions in the split; the first `images` are those of the view without augmentation.
        images: of that view, each once.
    """

    features: npt.NDArray[np.float32] = field(repr=False)
    labels: IntArray = field(repr=False)
    rows: IntArray = field(repr=False)
    images: int


def probe(trainer: Trainer, stop: StopRequest) -> None:
    """Compute the features, fit the classifier and put it into the network; ends the run's only epoch.

    The classifier is the minimum of cross-entropy plus an L2 penalty, on features of mean 0 and deviation 1. The
    penalty is chosen among `PENALTIES` by cross-validation over images, never over their views.

    Raises:
        InputError: fewer than two images in some class, of which none could be judged.
        Stopped: a signal came; the run begins again.
    """
    started = time.perf_counter()
    views = collect_views(trainer, stop)
    took = time.perf_counter() - started
    plan, say = trainer.plan, trainer.display.say
    say(
        f"Features: {views.features.shape[1]:,} numbers of {len(views.labels):,} views of {views.images:,} images, "
        f"computed in {clock(took)}"
    )
    classes = len(plan.dataset.classes)
    scaled = standardised(views.features)
    penalty, right = _penalty(trainer, views, scaled, classes)
    stop.check()
    fitted = fit_logistic(scaled, views.labels, classes, penalty=penalty)
    say(
        f"Classifier: fitted with the penalty {penalty:g}; {right:.2%} of the training images are right when each is "
        f"judged by a classifier that has not seen it"
    )
    _install(trainer, _unscaled(fitted, views.features))
    logs = fitted.log_probabilities(scaled)
    trainer.state.loss_sum = -float(logs[np.arange(len(logs)), views.labels].sum())
    trainer.state.images = len(logs)
    trainer.state.step = plan.steps_per_epoch


def collect_views(trainer: Trainer, stop: StopRequest) -> Views:
    """Return the features of the training images: each as in evaluation, then in augmented views by the run's seed.

    An augmented view leaves out the images of the last partial batch, which differ from view to view.
    """
    plan, recipe = trainer.plan, trainer.plan.recipe
    network = FeatureNetwork(trainer.model)
    still = Loader(
        plan.train.split,
        plan.preprocess,
        batch_size=max(recipe.batch_size, _LARGEST_BATCH),
        train=False,
        device=plan.hardware.device,
        num_classes=len(plan.dataset.classes),
        workers=recipe.workers or None,
        channels_last=plan.hardware.channels_last,
        on_bad="skip",
    )
    features, rows = [], []
    total = still.count + (recipe.probe_views - 1) * plan.train.steps_per_epoch * recipe.batch_size
    done = 0
    for view in range(recipe.probe_views):
        for batch in plan.train.epoch(view) if view else still.epoch(0):
            stop.check()
            with trainer.hardware.autocast():
                features.append(network.features(batch.images).cpu().numpy())
            rows.append(batch.indices.numpy())
            done += len(batch.indices)
            if trainer.display.due():
                trainer.display.show(f"features of {done:,} of {total:,} views")
    positions = np.concatenate(rows)
    joined = np.concatenate(features)
    if not np.isfinite(joined).all():
        raise trainer.diverged("the features of the frozen network are not finite", 0)
    return Views(joined, plan.train.split.labels[positions].astype(np.int64), positions, still.count)


def _penalty(trainer: Trainer, views: Views, scaled: npt.NDArray[np.float32], classes: int) -> tuple[float, float]:
    """Return the penalty, and the share of images that are right out of fold."""
    split, seed = trainer.plan.train.split, trainer.plan.recipe.seed
    chosen = balanced(views.labels[: views.images], _MOST_JUDGED, seed)
    labels = views.labels[chosen]
    # A class of one image would be unknown to whoever judges it.
    chosen = chosen[np.bincount(labels, minlength=classes)[labels] > 1]
    labels = views.labels[chosen]
    if len(np.unique(labels)) < 2:
        raise InputError(
            f"{views.images} training images of {trainer.plan.dataset.given}",
            "two classes with at least two images each",
            "Label more images",
        )
    groups = None if split.groups is None else split.groups[views.rows[chosen]]
    penalty, probabilities = choose_penalty(scaled[chosen], labels, classes, fold_of(labels, groups, FOLDS, seed))
    return penalty, float((probabilities.argmax(axis=1) == labels).mean())


def _unscaled(fitted: LogisticRegression, features: npt.NDArray[np.float32]) -> LogisticRegression:
    """Return the classifier of features as they are that answers as `fitted` does of scaled ones."""
    means = features.mean(axis=0, dtype=np.float64)
    deviations = features.std(axis=0, dtype=np.float64)
    weights: FloatArray = fitted.weights / np.where(deviations > 0, deviations, 1.0)
    weights[:, deviations == 0] = 0.0
    return LogisticRegression(weights, fitted.biases - weights @ means)


def _install(trainer: Trainer, classifier: LogisticRegression) -> None:
    layer = trainer.model.get_submodule(classifier_module(trainer.plan.spec))
    with torch.no_grad():
        for name, value in (("weight", classifier.weights), ("bias", classifier.biases)):
            parameter = layer.get_parameter(name)
            parameter.copy_(torch.from_numpy(value).to(parameter).reshape(parameter.shape))
