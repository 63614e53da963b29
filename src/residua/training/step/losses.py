"""The losses of steps, read without holding up a GPU: it goes on while they travel."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

_EVERY = 25  # steps whose losses a GPU sends at once


class Loss(NamedTuple):
    """The loss of one step.

    Attributes:
        value: mean over its images.
        images: of the step.
        number: of the step, from 0.
    """

    value: float
    images: int
    number: int


class Event(Protocol):
    """What marks a place in the work of a device, as `torch.cuda.Event` does."""

    def record(self) -> None:
        """Mark the place behind all that was asked for so far."""

    def query(self) -> bool:
        """Return whether the device has come there; does not wait."""

    def synchronize(self) -> None:
        """Wait until it has."""


class LossReader:
    """Collects losses on the device, and hands them out once they are on the host.

    On a CPU a loss is there at once. A GPU's loss exists when its work is done, and to ask for the number would wait
    for that. So every 25 steps their losses are sent to pinned memory behind the work, and taken when they have come.

    Args:
        device: where losses are computed.
        event: makes a mark; that of CUDA by default.
    """

    def __init__(self, device: torch.device, event: Callable[[], Event] | None = None) -> None:
        self._waits = device.type != "cpu" or event is not None
        self._event: Callable[[], Event] = event or torch.cuda.Event
        self._pinned = device.type == "cuda"
        self._fresh: list[tuple[Tensor, int, int]] = []
        self._sent: list[tuple[Tensor, Event, list[tuple[Tensor, int, int]]]] = []

    @property
    def last(self) -> Tensor:
        """The loss of the latest step, a scalar on the device; only before it is taken."""
        return self._fresh[-1][0]

    @property
    def sent(self) -> bool:
        """Whether losses are on their way to the host."""
        return bool(self._sent)

    def add(self, loss: Tensor, images: int, number: int) -> None:
        """Add the loss of a step, a scalar on the device."""
        self._fresh.append((loss, images, number))
        if self._waits and len(self._fresh) >= _EVERY:
            values = torch.stack([each for each, _, _ in self._fresh])
            host = torch.empty(len(self._fresh), dtype=values.dtype, pin_memory=self._pinned)
            host.copy_(values, non_blocking=True)
            mark = self._event()
            mark.record()
            self._sent.append((host, mark, self._fresh))
            self._fresh = []

    def take(self, *, wait: bool) -> list[Loss]:
        """Return the losses not taken before, in the order of the steps.

        Args:
            wait: for all of them; else only those that are on the host.
        """
        taken: list[Loss] = []
        while self._sent and (wait or self._sent[0][1].query()):
            host, mark, steps = self._sent.pop(0)
            mark.synchronize()
            taken += [Loss(value, *step[1:]) for value, step in zip(host.tolist(), steps, strict=True)]
        if self._fresh and (wait or not self._waits):
            values = torch.stack([each for each, _, _ in self._fresh]).tolist()
            taken += [Loss(value, *step[1:]) for value, step in zip(values, self._fresh, strict=True)]
            self._fresh = []
        return taken
