"""Where a run computes, and in which number format: chosen from what the processor supports."""

from __future__ import annotations

import contextlib
import functools
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from residua._base.errors import InputError


@dataclass(frozen=True)
class Hardware:
    """A choice that is made once, said in one line, and recorded in the checkpoints.

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

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """Compute in bfloat16 where that is chosen and safe."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            yield

    def to_dict(self) -> dict[str, object]:
        """What of the choice decides the bits of the result."""
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
    where = _device(device)
    if precision == "auto":
        bf16, reason = _bf16_is_faster(where)
    else:
        bf16, reason = precision == "bf16", "as the recipe says"
    if channels_last == "auto":
        last = _channels_last_is_faster(where) and (trains_channels_last or where.type != "cpu")
    else:
        last = channels_last == "yes"
    return Hardware(where, bf16, last, torch.get_num_threads(), reason)


def _device(name: str) -> torch.device:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda", 0) if count else torch.device("cpu")
    if name == "cpu":
        return torch.device("cpu")
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        there = "CUDA is not available here" if not count else f"CUDA has the devices 0 to {count - 1}"
        raise InputError(f"device={name!r}, but {there}", "a device of this machine", "Give --device cpu or auto")
    return torch.device("cuda", index)


def _channels_last_is_faster(device: torch.device) -> bool:
    # oneDNN's and our own kernels compute in blocks of channels, and so do tensor cores (from compute capability 7.0
    # on): the other layout costs a conversion at each convolution. Older GPUs' kernels take planes as they are.
    return device.type == "cpu" or torch.cuda.get_device_capability(device) >= (7, 0)


def _bf16_is_faster(device: torch.device) -> tuple[bool, str]:
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return native, "tensor cores take bf16" if native else "this GPU has no bf16 arithmetic"
    flags, vendor = _processor()
    if "amx_bf16" in flags:
        return True, "the processor has AMX"
    if "avx512_bf16" in flags and vendor == "AuthenticAMD":
        return True, "the processor has AVX-512 BF16"
    # Measured: an Intel processor with AVX-512 BF16 but no AMX trains slower in bf16 than in fp32.
    return False, "no fast bf16 on this processor"


@functools.cache
def _processor() -> tuple[frozenset[str], str]:
    """The feature flags and the maker, where the system says them (Linux); else nothing."""
    if platform.system() != "Linux":
        return frozenset(), ""
    flags: frozenset[str] = frozenset()
    vendor = ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "flags":
                return frozenset(value.split()), vendor
            if key.strip() == "vendor_id":
                vendor = value.strip()
    return flags, vendor
