"""Which kernels train the network: torch's own, or the fused ones for CPUs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from residua._base.errors import InputError
from residua.families.network import Classifier
from residua.families.resnet import Network
from residua.runtime.compiling import compiled
from residua.runtime.device import Hardware
from residua.runtime.distributed.batch_norm import SyncedBatchNorm2d
from residua.runtime.native import accelerate, multiplies_bf16, reason, release
from residua.training.folder.arithmetic import Arithmetic
from residua.training.recipe import Recipe


@dataclass(frozen=True)
class Kernels:
    """The kernels that a training uses, "native", "eager" or "compiled", and the reason for the choice."""

    name: str
    reason: str


def choose_kernels(
    model: nn.Module,
    recipe: Recipe,
    hardware: Hardware,
    measured: Arithmetic | None = None,
    *,
    sharded: bool = False,
) -> tuple[Kernels, Hardware]:
    """Put the fused kernels into `model` where they apply; return the choice, and the hardware's, which it may change.

    Args:
        model: the network.
        recipe: has the fields that a user may have set.
        hardware: chosen by rules.
        measured: what a measurement has chosen for a CPU; None for the rules.
        sharded: whether each process will hold a part of the parameters; then torch's own kernels alone can be used.

    Raises:
        InputError: the recipe insists on the native kernels, and nothing can be accelerated.
    """
    if recipe.kernels == "eager":
        return Kernels("eager", "set by the recipe"), hardware
    if measured is not None and hardware.device.type == "cpu":
        settled = dataclasses.replace(hardware, bf16=measured.bf16, reason="measured")
        if sharded:
            return Kernels("eager", "the parameters are divided between the processes"), settled
        if measured.kernels != "native":
            return Kernels(measured.kernels, "measured"), settled
        # A run that goes on where the kernels cannot be built goes by the rules, and warns of it.
        if served := accelerate(model):
            return Kernels("native", f"measured; they serve {served} parts of the network"), settled
    obstacle = _obstacle(model, recipe, hardware, sharded=sharded)
    served = 0 if obstacle else accelerate(model)
    if not obstacle and not served:
        obstacle = reason() or f"no layer of {_name(model)} is of a kind and width that they serve"
    if served and hardware.bf16 and recipe.precision != "bf16":
        # Measured on small networks: 2.5 to 3 times the speed of torch's fp32, where bf16 without matrix units of its
        # own gains at most 2. What the kernels leave to torch would lose that gain.
        if _all_of(model, served) or recipe.kernels == "native":
            hardware = dataclasses.replace(hardware, bf16=False, reason="for the native kernels, faster than bf16")
        else:
            release(model)
            obstacle = f"they serve {served} of its parts, and bf16 speeds up all"
    if not obstacle:
        return Kernels("native", f"fused, faster than torch's own; they serve {served} parts of the network"), hardware
    if recipe.kernels == "native":
        raise InputError(
            f"kernels='native', which cannot accelerate this run: {obstacle}",
            "fp32 on a CPU, or bf16 that it multiplies, channels last, not compiled, a C++ compiler, and known units",
            "Use kernels='auto'",
        )
    return Kernels("eager", f"not the native ones: {obstacle}"), hardware


def compiled_steps(model: nn.Module) -> Callable[[Tensor], Any]:
    """Return the forward pass of training through torch.compile; InputError where it cannot be built here."""
    return compiled(
        model,
        what="a run whose network is compiled",
        remedy="Install one and repeat the command; or train another run without it: compile=False, kernels='eager', "
        "out=ANOTHER",
    )


def _obstacle(model: nn.Module, recipe: Recipe, hardware: Hardware, *, sharded: bool) -> str:
    if hardware.device.type != "cpu":
        return "they are for CPUs"
    if recipe.compile:
        return "the network is compiled"
    if sharded:
        return "they read whole parameters, which are divided between the processes"
    if any(isinstance(module, SyncedBatchNorm2d) for module in model.modules()):
        return "they do not normalise over several processes"
    if not hardware.channels_last:
        return "they need channels last"
    if recipe.precision != "bf16":
        return ""
    if recipe.kernels != "native":
        return "bf16 was asked for"
    return "" if multiplies_bf16() else "bf16 was asked for, which this processor has no instruction for"


def _name(model: nn.Module) -> str:
    return str(model.spec.name) if isinstance(model, Classifier) else type(model).__name__


def _all_of(model: nn.Module, served: int) -> bool:
    """Return whether every unit and the stem are served."""
    return isinstance(model, Network) and served > sum(1 for _ in model.units())
