"""What quantising looks at: training images through the evaluation transform, never the images of the gate."""

from __future__ import annotations

import contextlib
import io
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from residua._base.errors import InputError
from residua.data.decode import BadImage
from residua.data.preprocess.resize import read_uint8
from residua.data.splitting import balanced
from residua.exporting.graph_input import GraphForm
from residua.exporting.part import Part
from residua.runtime.processor import processor

CALIBRATION_IMAGES = 300
"""NNCF's own number."""
CONTROL_IMAGES = 1000
"""On which a step compares answers with those of the float32 network."""
_SEED = 0


class OutOfTime(Exception):
    """The time of a ladder is over."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Training images as a graph takes them, and the time that a ladder may take.

    Attributes:
        images: arrays (1, …), of which ranges are taken: as many of each class as there are.
        control: further arrays (1, …), on which answers are compared; those of `images` where there are no others.
        until: the end of the ladder's time, in seconds of `time.monotonic`.
    """

    images: list[Any]
    control: list[Any] = field(default_factory=list)
    until: float = float("inf")

    @classmethod
    def of(cls, part: Part, form: GraphForm, seconds: float) -> Calibration:
        """Read the images; those that do not decode are left out.

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
        chosen = balanced(train.labels, CALIBRATION_IMAGES, _SEED).tolist()
        every = balanced(train.labels, CALIBRATION_IMAGES + CONTROL_IMAGES, _SEED).tolist()
        further = sorted(set(every) - set(chosen))

        def arrays(indices: list[int]) -> list[Any]:
            read = []
            for index in indices:
                with contextlib.suppress(BadImage):
                    pixels = read_uint8(lambda index=index: train.images.read(index), part.preprocess)  # type: ignore[misc]
                    read.append(form.fed(np.stack([pixels])).numpy())
            return read

        images = arrays(chosen)
        return cls(images, arrays(further) or images, time.monotonic() + seconds)

    @property
    def is_over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.until

    def timed(self) -> ControlImages:
        """Return the images of `control`, which raise `OutOfTime` once the time is over."""
        return ControlImages(self)


class ControlImages:
    """The control images of a calibration, as NNCF reads them."""

    def __init__(self, calibration: Calibration) -> None:
        self._calibration = calibration

    def __len__(self) -> int:
        return len(self._calibration.control)

    def __getitem__(self, index: int) -> Any:
        if self._calibration.is_over:
            raise OutOfTime
        return self._calibration.control[index]

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))


def sums_are_wide() -> bool:
    """Return whether the processor sums products of 8-bit numbers in 32 bits.

    Elsewhere two products are summed in 16 bits, which holds them with 7-bit weights alone.
    """
    return bool({"avx512_vnni", "avx_vnni", "amx_int8"} & processor().flags)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep bars off standard output, which may carry a JSON document, and remarks off the log."""
    loggers = [logging.getLogger(name) for name in ("nncf", "torch.utils.cpp_extension", "")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
