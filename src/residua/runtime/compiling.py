"""torch.compile, kept from code that others could put in its way."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from residua._base.errors import InputError
from residua._base.subprocesses import program
from residua.runtime.native.keeping import trusted_folder


def compiled(
    model: nn.Module,
    *,
    what: str = "engine='compiled'",
    remedy: str = "Install one, or use engine='eager'",
    **options: Any,
) -> Callable[[Tensor], Any]:
    """Return `torch.compile(model, **options)`, whose cache and compiler only this user and root can have written.

    A call that cannot be compiled here raises InputError: `what` names what was given, `remedy` what else to do.

    By default torch runs code from /tmp/torchinductor_USER, a folder that anyone can make first, and looks for `g++` in
    relative entries of PATH too. A cache that the user names in TORCHINDUCTOR_CACHE_DIR is taken as it is.

    Raises:
        OSError: no folder for the cache can be made.
    """
    if not os.environ.get("TORCHINDUCTOR_CACHE_DIR"):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(trusted_folder("compiled"))
    # Late: these modules take a third of a second to import.
    from torch._dynamo.exc import BackendCompilerFailed
    from torch._inductor import config

    wanted = os.environ.get("CXX") or "g++"
    # A name that no folder holds ends as a missing compiler does, instead of searching the working directory.
    config.cpp.cxx = (None, program(wanted) or f"/nonexistent/{os.path.basename(wanted)}")
    forward = torch.compile(model, **options)

    def run(images: Tensor) -> Any:
        try:
            return forward(images)
        except BackendCompilerFailed as error:
            raise InputError(
                f"{what}, which torch.compile cannot build here ({str(error).splitlines()[0]})",
                "a C++ compiler for the processor, or Triton for a GPU",
                remedy,
            ) from error

    return run
