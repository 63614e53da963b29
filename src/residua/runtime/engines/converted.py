"""What engines share that take a network as a graph: one per size of images, for batches of any size."""

from __future__ import annotations

import copy
import threading
import time
import warnings
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from residua._base.errors import InputError
from residua.runtime.engines.int8 import int8_form
from residua.runtime.engines.names import EngineName, Precision
from residua.runtime.graphs.fold import fold_batch_norm
from residua.runtime.graphs.program import LEAST_EXAMPLES, example_images, export_program

Size = tuple[int, int, int]
"""(C, H, W) of an image."""


class ConvertedEngine(ABC):
    """An engine of a runtime that is not torch, on the CPU; see `Engine`.

    Attributes:
        precision: of the arithmetic.
        device: the CPU.
        opening_seconds: what it has cost so far to open: a new size of images takes a new graph.
        threads: of the CPU, those of torch when the engine was opened.
    """

    name: EngineName

    def __init__(
        self, model: nn.Module, precision: Precision, shape: tuple[int, int, int, int] | None, start: float
    ) -> None:
        self.precision, self.device = precision, torch.device("cpu")
        self.threads = torch.get_num_threads()
        # The engine owns a copy, even while it has no graph: its caller may change the network.
        self._network = copy.deepcopy(model).to(self.device, torch.float32).eval()
        self._is_folded = False
        self._opened: dict[Size, Any] = {}
        self._opening = threading.Lock()
        self.opening_seconds = time.perf_counter() - start
        if shape is not None:
            self._ready(shape[1:])

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits, float32 (B, K), of normalised images (B, C, H, W)."""
        _, channels, height, width = images.shape
        return self._compute(self._ready((channels, height, width)), images.detach().to(self.device, torch.float32))

    def _ready(self, size: Size) -> Any:
        with self._opening:
            if size not in self._opened:
                start = time.perf_counter()
                self._opened[size] = self._open(size)
                self.opening_seconds += time.perf_counter() - start
            return self._opened[size]

    def _program(self, size: Size) -> ExportedProgram:
        """Return the network for images of this size, batch normalisation folded."""
        # Callers compute in inference mode, whose tensors cannot be traced.
        with torch.inference_mode(False), torch.no_grad():
            if not self._is_folded:
                self._network = fold_batch_norm(self._network, (LEAST_EXAMPLES, *size)).network
                self._is_folded = True
            return export_program(self._network, example_images(size))

    def _int8(self, size: Size) -> dict[str, bytes]:
        """Return the files of the int8 form that an export made, and warn where its gate could not decide.

        Raises:
            InputError: there is none.
        """
        kept = int8_form(self._network, self.name, size)
        if kept["decided"] != "passes":
            warnings.warn(f"The form in int8 has not passed its gate: {kept['sentence']}", stacklevel=2)
        return kept["files"]

    @abstractmethod
    def _open(self, size: Size) -> Any:
        """Make the runtime's own object for images of this size."""

    @abstractmethod
    def _compute(self, opened: Any, images: Tensor) -> Tensor:
        """Return the logits of images, which may be laid out with the channels innermost."""


def require_cpu(name: str, device: torch.device) -> None:
    """Refuse a device that the engine does not compute on.

    Raises:
        InputError: names the device to ask for.
    """
    if device.type != "cpu":
        raise InputError(f"engine={name!r} on {device}", "device='cpu', where it computes", "Give device='cpu'")
