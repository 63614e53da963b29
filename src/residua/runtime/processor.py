"""The processor of this machine: its name, its maker and what it can do."""

from __future__ import annotations

import functools
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Processor:
    """What a processor is called, and what it can do.

    Attributes:
        name: for people, such as "AMD EPYC 9654 96-Core Processor".
        vendor: "GenuineIntel", "AuthenticAMD"; "" where the system does not name it.
        flags: the features that it has, as Linux lists them; empty elsewhere.
    """

    name: str
    vendor: str
    flags: frozenset[str]


@functools.cache
def processor() -> Processor:
    """Return what the system reports of the first processor; Linux lists features, other systems only a name."""
    fields: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, separator, value = line.partition(":")
            if not separator and fields:
                break  # the end of the first processor's block
            fields.setdefault(key.strip(), value.strip())
    except OSError:
        pass
    name = fields.get("model name") or platform.processor() or platform.machine()
    return Processor(name, fields.get("vendor_id", ""), frozenset(fields.get("flags", "").split()))
