"""Fused CPU training kernels, built on first use with the system's C++ compiler.

`accelerate(model)` changes the class of a network and of its residual units to one whose `forward` uses the kernels in
training mode. Parameters, state dict, hooks, copies and pickles stay what they were. `release(model)` changes it back.
"""

from __future__ import annotations

from torch import nn


def accelerate(model: nn.Module) -> int:
    """Let the stem and the residual units of `model` train with fused kernels where they apply; return how many do.

    0 means that nothing changed, and `reason()` returns why. Under autocast to bf16, 3×3 convolutions multiply in bf16
    where the processor has an instruction for it (`multiplies_bf16`). What the kernels do not serve takes the ordinary
    way, call by call. That is evaluation mode, other types and devices, other autocast, and hooks on a layer inside.
    """
    from residua.runtime.native.swap import swap_in

    return swap_in(model)


def release(model: nn.Module) -> int:
    """Undo `accelerate`; return how many modules were given back."""
    from residua.runtime.native.swap import swap_out

    return swap_out(model)


def reason() -> str:
    """Return why the kernels cannot be used on this machine, in one line; "" when they can."""
    from residua.runtime.native.library import Unavailable, load

    library = load()
    return str(library) if isinstance(library, Unavailable) else ""


def multiplies_bf16() -> bool:
    """Return whether the kernels can be used here and this processor multiplies in bf16 (AVX-512 BF16)."""
    from residua.runtime.native import library

    return library.multiplies_bf16()
