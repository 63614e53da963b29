"""The memory layout of activations: chosen here alone, by the device and by what a network states of itself.

A network asks when it comes to a device; `residua.runtime.device` asks for training runs and for engines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

_TENSOR_CORES = (7, 0)  # the compute capability from which on GPUs have them


class Layout(NamedTuple):
    """How a network lays an image out on entry, and with it all activations; None leaves it as it comes.

    Attributes:
        training: in training mode.
        inference: in evaluation mode.
    """

    training: torch.memory_format | None = None
    inference: torch.memory_format | None = None

    def __reduce__(self) -> tuple[Callable[..., Layout], tuple[str | None, str | None]]:
        # By name: `torch.save` cannot pickle torch's own memory formats.
        return _layout_of, (_format_name(self.training), _format_name(self.inference))


def fastest_layout(
    device: torch.device, *, trains_channels_last: bool = True, infers_channels_last: bool = True
) -> Layout:
    """Return the layout in which a network is fastest on a device, where its weights are stored in it too.

    Args:
        device: where it computes.
        trains_channels_last: whether its training step is faster on CPUs with the channels innermost.
        infers_channels_last: whether its forward pass alone is.
    """
    if device.type == "cpu":
        # oneDNN's and our own kernels compute in blocks of channels, and all that stands between them is faster with
        # the channels innermost as well: 1.1 to 1.8 times forward. The other layout costs a conversion per convolution.
        return Layout(_format(trains_channels_last), _format(infers_channels_last))
    # So do tensor cores. Older GPUs' kernels take planes as they are.
    last = _format(torch.cuda.get_device_capability(device) >= _TENSOR_CORES)
    return Layout(last, last)


def layout_on_arrival(
    device: torch.device, *, trains_channels_last: bool = True, infers_channels_last: bool = True
) -> Layout:
    """Return the layout of a network that has come to a device with its weights contiguous, as everybody expects them.

    On CPUs it is the fastest. Elsewhere it is the caller's: a GPU would convert the weights at every convolution.

    The arguments are those of `fastest_layout`.
    """
    if device.type != "cpu":
        return Layout()
    fastest = fastest_layout(
        device, trains_channels_last=trains_channels_last, infers_channels_last=infers_channels_last
    )
    # Planes are what comes by custom: nothing is converted to them.
    return Layout(*(layout if layout == torch.channels_last else None for layout in fastest))


def _format(channels_last: bool) -> torch.memory_format:
    return torch.channels_last if channels_last else torch.contiguous_format


def _layout_of(training: str | None, inference: str | None) -> Layout:
    """Return the layout that was pickled by the names of its formats."""
    first, second = (None if name is None else getattr(torch, name) for name in (training, inference))
    return Layout(first, second)


def _format_name(layout: torch.memory_format | None) -> str | None:
    return None if layout is None else str(layout).removeprefix("torch.")
