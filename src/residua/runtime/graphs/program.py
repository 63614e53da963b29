"""A network as one graph of torch's operators, which the other formats are made from."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from residua._base.errors import InputError

INPUT = "images"
"""The name of a graph's input."""
BATCH: Mapping[int, str] = {0: "batch"}
"""The free axes of a graph by default."""
LEAST_EXAMPLES = 2
"""Images in an example batch: torch.export takes a batch of one for a constant (PyTorch's issue 157621)."""


def example_images(shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Return an example batch (B, …) of zeros for images of `shape` (…)."""
    return torch.zeros(LEAST_EXAMPLES, *shape, dtype=dtype)


def export_program(network: nn.Module, example: Tensor, *, axes: Mapping[int, str] = BATCH) -> ExportedProgram:
    """Trace a network in evaluation mode as one graph, on the CPU, with the batch free.

    Fold batch normalisation before, with `fold_batch_norm`: graphs of other runtimes cannot always.

    Args:
        network: takes one tensor; it stays as it is, but for its mode.
        example: what it takes, with at least two images.
        axes: those of the input whose size is free, each with a name.

    Raises:
        InputError: an example batch of one.
    """
    if len(example) < LEAST_EXAMPLES:
        raise InputError(
            f"an example batch of {len(example)}", f"at least {LEAST_EXAMPLES} images", "Use example_images(shape)"
        )
    training = network.training
    network.eval()
    try:
        with torch.no_grad(), quiet_export():
            return torch.export.export(
                network, (example,), dynamic_shapes=({axis: Dim(name) for axis, name in axes.items()},), strict=False
            )
    finally:
        network.train(training)


@contextlib.contextmanager
def quiet_export() -> Iterator[None]:
    """Hold back what torch's exporter and its helpers print: none of it concerns the user's network."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
