"""The C library keeps freed memory in one pool where it can, unless the user chose otherwise."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from residua.runtime import allocator

_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
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
        env={name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
        | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the system's C library is not glibc")
def test_freed_memory_is_used_again() -> None:
    if _HUGE_PAGES.exists() and "[always]" in _HUGE_PAGES.read_text():
        pytest.skip("pages of 2 MB throughout: too few faults to count")
    pages = 5 * (64 << 20) // resource.getpagesize()
    assert page_faults("kept") < pages / 10
    assert page_faults("as chosen", MALLOC_ARENA_MAX="8") > pages / 2


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"])
def test_the_users_choice_stands(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    assert not allocator.keep_freed_memory()


def test_a_glibc_that_refuses_large_blocks_keeps_its_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Older:
        def mallopt(self, name: int, value: int) -> int:
            asked.append(name)
            return int(name != allocator.MMAP_THRESHOLD or value <= 32 << 20)

    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.28"))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: Older())
    for name in [name for name in os.environ if name.startswith(("MALLOC_", "GLIBC_"))]:
        monkeypatch.delenv(name)
    assert not allocator.keep_freed_memory()
    assert asked == [allocator.MMAP_THRESHOLD]


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not allocator.keep_freed_memory()
