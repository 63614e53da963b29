"""The ladder to int8: recipes of NNCF for an OpenVINO model, from plain to careful; the first that passes is taken."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np

from residua._base.errors import InputError
from residua.data.decode import BadImage
from residua.data.preprocess import read_uint8
from residua.data.splitting import balanced
from residua.exporting.graph_input import GraphForm
from residua.exporting.part import Part
from residua.runtime.graphs.packages import package
from residua.runtime.processor import processor

CALIBRATION_IMAGES = 300
"""NNCF's own number."""
_WIDE_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8"}
_SEED = 0


def calibration_images(part: Part, form: GraphForm) -> list[Any]:
    """Return training images as a graph takes them, one array per image, as many of each class as there are.

    Images that do not decode are left out. NNCF's statistics hold for batches of one.

    Raises:
        InputError: the data has no training part beside the one that the gate measures.
    """
    train = part.dataset.splits.get("train")
    if train is None or part.split.name == "train":
        raise InputError(
            f"precision='int8' with {part.dataset.given}, whose only part is the one to measure",
            "training images to calibrate on, and others to measure the accuracy on",
            "Name data with train/ and val/",
        )
    arrays = []
    for index in balanced(train.labels, CALIBRATION_IMAGES, _SEED).tolist():
        with contextlib.suppress(BadImage):
            pixels = read_uint8(lambda index=index: train.images.read(index), part.preprocess)  # type: ignore[misc]
            arrays.append(form.fed(np.stack([pixels])).numpy())
    return arrays


def quantised(model: Any, images: list[Any]) -> Iterator[tuple[str, Any]]:
    """Yield (recipe, model) for each step of the ladder, each made when it is asked for.

    Args:
        model: an `openvino.Model` in float32, which stays as it is.
        images: see `calibration_images`.

    Raises:
        InputError: NNCF is not installed.
    """
    with _quiet():
        nncf = package("nncf", "openvino")
        advanced = package("nncf.quantization.advanced_parameters", "openvino")
        ranges = package("nncf.quantization.range_estimator", "openvino")
    dataset, presets = nncf.Dataset(images), nncf.QuantizationPreset

    def made(**options: Any) -> Any:
        with _quiet():
            return nncf.quantize(model.clone(), dataset, subset_size=len(images), **options)

    def widths(**more: Any) -> Any:
        # Sums of two 8-bit products fit 16 bits only with 7-bit weights; these instructions sum in 32 bits.
        wide = bool(_WIDE_PRODUCTS & processor().flags)
        fix = advanced.OverflowFix.DISABLE if wide else advanced.OverflowFix.FIRST_LAYER
        return advanced.AdvancedQuantizationParameters(overflow_fix=fix, **more)

    yield "plain (symmetric ranges, fast bias correction)", made(preset=presets.PERFORMANCE)
    if _WIDE_PRODUCTS & processor().flags:
        yield "8 bits in the first layer too", made(preset=presets.PERFORMANCE, advanced_parameters=widths())
    histogram = ranges.RangeEstimatorParametersSet.HISTOGRAM
    careful = {
        "preset": presets.MIXED,
        "advanced_parameters": widths(activations_range_estimator_params=histogram),
    }
    yield "asymmetric ranges from histograms", made(**careful)
    careful["fast_bias_correction"] = False
    yield "the same, biases corrected layer by layer", made(**careful)
    yield "the same, stem and head in float32", made(**careful, ignored_scope=nncf.IgnoredScope(names=_ends(model)))


def _ends(model: Any) -> list[str]:
    """Return the names of the first and the last layer that has weights."""
    kinds = {"Convolution", "GroupConvolution", "MatMul"}
    layers = [node.get_friendly_name() for node in model.get_ordered_ops() if node.get_type_name() in kinds]
    return list(dict.fromkeys((layers[0], layers[-1])))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep NNCF's bars off standard output, which may carry a JSON document, and its remarks off the log."""
    loggers = [logging.getLogger(name) for name in ("nncf", "torch.utils.cpp_extension")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
