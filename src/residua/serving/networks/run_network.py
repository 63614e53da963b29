"""A run that torch computes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch

from residua.data.decode import Pixels
from residua.evaluation.rejection.rejecter import deciding
from residua.inference.stream import Predictor
from residua.serving.networks.network import (
    Computation,
    Description,
    Doubles,
    Floats,
    Images,
    Picture,
    Source,
    grouped,
)
from residua.serving.networks.pictures import explained, explains
from residua.weights.open import load
from residua.weights.run import Run


class RunNetwork:
    """See `Network`.

    Attributes:
        description: what it is.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.description = describe_run(predictor.run, predictor.engine.name, predictor.engine.precision)

    @classmethod
    def open(cls, source: Source, computing: Computation) -> RunNetwork:
        """Load a run and open its engine.

        Raises:
            InputError: no run there, or one that the engine does not compute.
        """
        run = load(source)
        return cls(Predictor.open(run, device=computing.device, engine=computing.engine, precision=computing.precision))

    def logits(self, parts: Sequence[Images]) -> Floats:
        """See `Network`."""
        outputs = [
            self._predictor.engine(torch.from_numpy(group))
            if isinstance(group, np.ndarray)
            else self._predictor.logits(group)
            for group in grouped(parts)
        ]
        logits: Floats = torch.cat([each.to("cpu", torch.float32) for each in outputs]).numpy()
        return logits

    def probabilities(self, logits: Floats) -> Doubles:
        """Return softmax at the run's temperature, or sigmoids: the same doubles as `predict`, (B, K) -> (B, K)."""
        several = self.description.label_thresholds is not None
        values = torch.from_numpy(logits).to(torch.float64) / self.description.temperature
        probabilities: Doubles = (values.sigmoid() if several else values.softmax(dim=1)).numpy()
        return probabilities

    def explained(self, image: Pixels, target: int) -> Picture:
        """See `Network`."""
        return explained(self._predictor.run, image, target)


def describe_run(run: Run, engine: str, precision: str) -> Description:
    """Return what a run is, served by an engine in a precision."""
    top1, images = run.metrics.get("top1"), run.metrics.get("count")
    threshold, rejection = deciding(run.rejection, (run.calibration or {}).get("thresholds") or {})
    if rejection is None and run.rejection is not None:
        warnings.warn(
            f"{run.folder.name} rejects images by their features ({run.rejection.score}), which a server "
            "does not compute: no answer is called unknown. Calibrate with the score energy or softmax",
            stacklevel=2,
        )
    return Description(
        network=run.spec.name,
        classes=run.classes,
        preprocess=run.preprocess_spec,
        temperature=run.temperature,
        threshold=threshold,
        rejection=rejection,
        top1=top1 if isinstance(top1, int | float) else None,
        count=images if isinstance(images, int) else None,
        split=str(run.metrics.get("split") or ""),
        data=str(run.data.get("given") or ""),
        calibrated=run.calibration is not None,
        engine=engine,
        precision=precision,
        explains=explains(run),
        label_thresholds=run.multilabel.thresholds if run.multilabel else None,
    )
