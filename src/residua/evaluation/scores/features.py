"""Logits and features of the images of a split, in one pass by torch's own operators."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from residua._base.console import Progress
from residua.data.dataset import Split
from residua.evaluation.measures.metrics import IntArray, refuse_not_finite
from residua.evaluation.scores.scorer import Scorer
from residua.evaluation.scores.views import Viewer
from residua.families.features import FeatureNetwork
from residua.runtime.device import on_device
from residua.specs.fields import BadPolicy
from residua.specs.preprocess import PreprocessSpec
from residua.weights.run import Run


@dataclass(frozen=True, eq=False)
class SplitFeatures:
    """What a network holds of the images of a split.

    Attributes:
        logits: float32 (N, K).
        features: float32 (N, D), penultimate.
        labels: int64 (N,), as the split has them.
        indices: int64 (N,), positions in the split, ascending.
        skipped: position -> reason, for images that do not decode.
    """

    logits: npt.NDArray[np.float32] = field(repr=False)
    features: npt.NDArray[np.float32] = field(repr=False)
    labels: IntArray = field(repr=False)
    indices: IntArray = field(repr=False)
    skipped: dict[int, str]


@torch.inference_mode()
def collect_features(
    model: nn.Module,
    split: Split,
    preprocess: PreprocessSpec,
    *,
    batch_size: int,
    device: torch.device,
    on_bad: BadPolicy = "refuse",
    use_cache: bool = True,
    progress: Progress | None = None,
) -> SplitFeatures:
    """Run the network once over the centre crop of every image; memory holds the features of all.

    Raises:
        InputError: an empty split, bad images, or a network that Residua did not build.
        NotFinite: the logits hold NaN or infinity.
    """
    network = FeatureNetwork(on_device(model, device))
    viewer = Viewer(split, preprocess, "1", batch_size=batch_size, device=device, on_bad=on_bad, use_cache=use_cache)
    logits, features, indices = [], [], []
    done = 0
    for places, views in viewer:
        outputs, held = network.with_logits(next(views))
        refuse_not_finite(outputs)
        logits.append(outputs.cpu().numpy())
        features.append(held.cpu().numpy())
        indices.append(places)
        done += len(places)
        if progress is not None:
            progress(done, viewer.count)
    positions = np.concatenate(indices)
    order = np.argsort(positions, kind="stable")
    return SplitFeatures(
        logits=np.concatenate(logits)[order],
        features=np.concatenate(features)[order],
        labels=split.labels[positions[order]],
        indices=positions[order],
        skipped=dict(viewer.skipped),
    )


def features_by(scorer: Scorer, run: Run, split: Split, on_bad: BadPolicy) -> SplitFeatures:
    """Return the features of images, computed where and as the scorer computes logits.

    Raises:
        InputError: as `collect_features`.
    """
    options = scorer.options
    return collect_features(
        run.model,
        split,
        run.preprocess_spec,
        batch_size=options.batch_size,
        device=options.where,
        on_bad=on_bad,
        use_cache=options.cache,
        progress=options.progress,
    )
