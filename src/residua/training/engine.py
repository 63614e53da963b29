"""Which kernels train the network: torch's own, or the fused ones for CPUs."""

from __future__ import annotations

from torch import nn

from residua._base.errors import InputError
from residua.runtime.native import accelerate
from residua.training.hardware import Hardware
from residua.training.recipe import Recipe


def choose_engine(model: nn.Module, recipe: Recipe, hardware: Hardware) -> str:
    """Put the fused kernels into `model` where they apply; return "native" or "eager".

    Raises:
        InputError: the recipe insists on the native engine, and nothing could be accelerated.
    """
    if recipe.engine == "eager":
        return "eager"
    fits = hardware.device.type == "cpu" and not hardware.bf16 and hardware.channels_last and not recipe.compile
    if fits and accelerate(model) > 0:
        return "native"
    if recipe.engine == "native":
        raise InputError(
            "engine='native', which cannot accelerate this run",
            "fp32 on a CPU, channels last, not compiled, a C++ compiler, and a network of known units",
            "Use --engine auto",
        )
    return "eager"
