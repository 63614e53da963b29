"""The ladder of NNCF for an OpenVINO model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from residua._base.packages import package
from residua.exporting.ladders.calibration import Calibration, OutOfTime, quiet, sums_are_wide
from residua.runtime.graphs.openvino_core import openvino_core

_RANKING_IMAGES = 100

LAST_STEP = "accuracy-controlled"
"""How the name of the last step begins."""


def quantised_openvino(model: Any, calibration: Calibration, max_drop: float) -> Iterator[tuple[str, Any]]:
    """Yield (recipe, model) for each step of the ladder, each made when it is asked for.

    The last step restores layers to float32, those that change most first. It ends when answers for further training
    images agree with the float32 network, but for a share of `max_drop`. It is left out where the time is over before
    that, and where no layer remains in int8. NNCF's statistics hold for batches of one.

    Args:
        model: an `openvino.Model` in float32, which stays as it is.
        calibration: training images, and the time there is.
        max_drop: the loss of top-1 that is allowed, a fraction of 1.

    Raises:
        InputError: NNCF is not installed.
    """
    with quiet():
        nncf = package("nncf", "openvino")
        advanced = package("nncf.quantization.advanced_parameters", "openvino")
        ranges = package("nncf.quantization.range_estimator", "openvino")
    images = calibration.images
    dataset, presets = nncf.Dataset(images), nncf.QuantizationPreset

    def made(**options: Any) -> Any:
        with quiet():
            return nncf.quantize(model.clone(), dataset, subset_size=len(images), **options)

    def widths(**more: Any) -> Any:
        fix = advanced.OverflowFix.DISABLE if sums_are_wide() else advanced.OverflowFix.FIRST_LAYER
        return advanced.AdvancedQuantizationParameters(overflow_fix=fix, **more)

    yield "plain (symmetric ranges, fast bias correction)", made(preset=presets.PERFORMANCE)
    if sums_are_wide():
        yield "8 bits in the first layer too", made(preset=presets.PERFORMANCE, advanced_parameters=widths())
    histogram = ranges.RangeEstimatorParametersSet.HISTOGRAM
    careful = {
        "preset": presets.MIXED,
        "advanced_parameters": widths(activations_range_estimator_params=histogram),
    }
    yield "asymmetric ranges from histograms", made(**careful)
    careful["fast_bias_correction"] = False
    whole = made(**careful)
    yield "the same, biases corrected layer by layer", whole
    yield "the same, stem and head in float32", made(**careful, ignored_scope=nncf.IgnoredScope(names=_ends(model)))
    restoring = advanced.AdvancedAccuracyRestorerParameters(ranking_subset_size=_RANKING_IMAGES, num_ranking_workers=1)
    control = _Control(calibration, model)
    try:
        with quiet():
            restored = nncf.quantize_with_accuracy_control(
                model.clone(),
                dataset,
                nncf.Dataset(calibration.timed()),
                control.agreement,
                max_drop=max_drop,
                preset=presets.MIXED,
                subset_size=len(images),
                fast_bias_correction=False,
                advanced_quantization_parameters=careful["advanced_parameters"],
                advanced_accuracy_restorer_parameters=restoring,
            )
    except OutOfTime:
        return
    if kept := _ranges(restored):  # else all of it is float32 again
        share = f"{max_drop:.2%} of the answers for {len(calibration.control)} further training images"
        words = f"layers restored to float32 until at most {share} change"
        yield f"{LAST_STEP}: {words}; {kept} of {_ranges(whole)} ranges are left", restored


class _Control:
    """Compares answers with those of the float32 network: labels of training images are known too well to change."""

    def __init__(self, calibration: Calibration, model: Any) -> None:
        self._calibration = calibration
        self._model = model
        self._answers: Any = None

    def agreement(self, compiled: Any, images: Any) -> tuple[float, list[list[Any]]]:
        """Return the share of images with the float32 network's answer, and the outputs of each."""
        if self._answers is None:
            settings = {"INFERENCE_PRECISION_HINT": "f32"}
            eager = openvino_core().compile_model(self._model, "CPU", settings)
            self._answers = [int(eager(image)[0].argmax()) for image in self._calibration.timed()]
        outputs = [compiled(image)[0].copy() for image in images]
        # NNCF asks for all images, or once for the first alone.
        right = [int(each.argmax()) == answer for each, answer in zip(outputs, self._answers, strict=False)]
        return float(np.mean(right)), [[each] for each in outputs]


def _ranges(model: Any) -> int:
    return sum(node.get_type_name() == "FakeQuantize" for node in model.get_ops())


def _ends(model: Any) -> list[str]:
    """Return the names of the first and the last layer that has weights."""
    kinds = {"Convolution", "GroupConvolution", "MatMul"}
    layers = [node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() in kinds]
    return list(dict.fromkeys((layers[0], layers[-1])))
