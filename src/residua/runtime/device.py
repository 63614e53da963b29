"""The one place that picks the device and the precision of a computation, and that brings networks there."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from residua._base.errors import InputError
from residua.families.layout import Layout, fastest_layout
from residua.families.network import Classifier
from residua.runtime.device_name import check_device_name
from residua.runtime.distributed.launch import read_launch
from residua.runtime.processor import processor

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Hardware:
    """Where and how a training run computes: chosen once, shown in one line, recorded in the checkpoints.

    Attributes:
        device: where the network and its batches live.
        bf16: forward passes run under bfloat16 autocast.
        channels_last: tensors are stored with the channels innermost.
        threads: of the CPU; bit-exact resuming needs the same number.
        reason: why this precision, in words.
    """

    device: torch.device
    bf16: bool
    channels_last: bool
    threads: int
    reason: str

    @property
    def sentence(self) -> str:
        """The choice in one line."""
        where = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "CPU"
        threads = f", {self.threads} thread{'s' * (self.threads > 1)}" if self.device.type == "cpu" else ""
        layout = "channels last" if self.channels_last else "channels first"
        return f"{where}{threads}: {'bf16' if self.bf16 else 'fp32'} ({self.reason}), {layout}"

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout as torch names it."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def place(self, model: Module) -> Module:
        """Move the model here, its weights and what it computes in the chosen layout; return it."""
        model.to(self.device).to(memory_format=self.memory_format)
        if isinstance(model, Classifier):
            model.layout = Layout(self.memory_format, self.memory_format)
        return model

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """Compute in bfloat16 where that is chosen and safe."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            yield

    def to_dict(self) -> dict[str, object]:
        """Return the part of the choice that decides the bits of the result."""
        return {
            "device": self.device.type,
            "precision": "bf16" if self.bf16 else "fp32",
            "channels_last": self.channels_last,
            "threads": self.threads,
        }


def choose_hardware(
    device: str = "auto",
    precision: str = "auto",
    channels_last: str = "auto",
    *,
    trains_channels_last: bool = True,
) -> Hardware:
    """Choose where and how a training run computes.

    Args:
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "auto", "fp32" or "bf16".
        channels_last: "auto", "yes" or "no".
        trains_channels_last: whether the network's family trains faster on a CPU with the channels innermost.

    Raises:
        InputError: a device that this machine does not have.
    """
    where = pick_device(device)
    if precision == "auto":
        bf16, reason = _bf16_is_faster(where)
    else:
        bf16, reason = precision == "bf16", "set by the recipe"
    if channels_last == "auto":
        fastest = fastest_layout(where, trains_channels_last=trains_channels_last)
        last = fastest.training == torch.channels_last
    else:
        last = channels_last == "yes"
    return Hardware(where, bf16, last, torch.get_num_threads(), reason)


def pick_device(device: torch.device | str | None = None) -> torch.device:
    """Return the requested device; None and "auto" stand for the first GPU, or the CPU where there is none.

    Of several processes of a run, each has the GPU of its own local rank for "auto" and "cuda".

    Raises:
        InputError: an unknown device, or one that this machine does not have.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    own = read_launch().local_rank
    if device is None or str(device) == "auto":
        if not count:
            return torch.device("cpu")
        device = torch.device("cuda", own)
    check_device_name(str(device))
    parsed = torch.device(device)
    if parsed.type == "cpu":
        return torch.device("cpu")
    index = own if parsed.index is None else parsed.index
    if index >= count:
        there = f"CUDA has the devices 0 to {count - 1}" if count else "CUDA is not available here"
        raise InputError(
            f"device={str(device)!r}{f' of local rank {own}' if own else ''}, but {there}",
            "a device of this machine",
            "Start at most one process per GPU" if own else "Give device='cpu' or device='auto'",
        )
    return torch.device("cuda", index)


def inference_format(model: nn.Module, device: torch.device) -> torch.memory_format:
    """Return the layout in which the forward pass of a model is fastest on a device."""
    stated = model.infers_channels_last if isinstance(model, Classifier) else True
    fastest = fastest_layout(device, infers_channels_last=stated).inference
    return torch.contiguous_format if fastest is None else fastest


def on_device(model: Module, device: torch.device) -> Module:
    """Return a copy of the model in eval mode on `device`, in the layout that is fastest there."""
    layout = inference_format(model, device)
    placed = copy.deepcopy(model).to(device).to(memory_format=layout).eval()
    if isinstance(placed, Classifier):
        placed.layout = Layout(layout, layout)
    return placed


def _bf16_is_faster(device: torch.device) -> tuple[bool, str]:
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return native, "tensor cores take bf16" if native else "this GPU has no bf16 arithmetic"
    cpu = processor()
    if "amx_bf16" in cpu.flags:
        return True, "the processor has AMX"
    if "avx512_bf16" in cpu.flags and cpu.vendor == "AuthenticAMD":
        return True, "the processor has AVX-512 BF16"
    # Measured: an Intel processor with AVX-512 BF16 but no AMX trains slower in bf16 than in fp32.
    return False, "no fast bf16 on this processor"
