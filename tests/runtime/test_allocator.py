"""The C library keeps freed memory in one pool where it can, unless the user chose otherwise."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys

import pytest

from residua.runtime import allocator

# Blocks of 64 MB, each freed before the next: kept memory is touched again without a page fault.
_CODE = """
import resource, sys
import torch
from residua.runtime.allocator import keep_freed_memory
assert keep_freed_memory() == (sys.argv[1] == "kept")
for number in range(15):
    if number == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(1 << 24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(what: str, **environment: str) -> int:
    """Count those of five blocks of 64 MB."""
    done = subprocess.run(
        [sys.executable, "-c", _CODE, what],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the system's C library is not glibc")
def test_freed_memory_is_used_again() -> None:
    pages = 5 * (64 << 20) // resource.getpagesize()
    assert page_faults("kept") < pages / 10
    assert page_faults("as chosen", MALLOC_ARENA_MAX="8") > pages / 2


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_the_users_choice_stands(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert not allocator.keep_freed_memory()


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not allocator.keep_freed_memory()
