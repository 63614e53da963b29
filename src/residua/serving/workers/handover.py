"""What the supervisor hands to its processes, and what they report: lines of JSON on pipes that end with the parent."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residua.serving.settings import Limits, Settings


@dataclass(frozen=True)
class Handover:
    """What a process needs to know.

    Attributes:
        settings: of the server.
        sources: where the models lie, by name and version.
        socket: of the engine process.
        listener: the descriptor of the socket that listens; -1 for the engine process.
    """

    settings: Settings
    sources: dict[str, dict[str, str]]
    socket: Path
    listener: int = -1

    def to_line(self) -> bytes:
        """Return one line of JSON."""
        settings = dataclasses.asdict(self.settings)
        settings["repository"] = None if self.settings.repository is None else str(self.settings.repository.absolute())
        document = {"settings": settings, "sources": self.sources, "socket": str(self.socket), "fd": self.listener}
        return json.dumps(document).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Handover:
        """Undo `to_line`."""
        document = json.loads(line)
        values = document["settings"]
        values |= {"limits": Limits(**values["limits"]), "origins": tuple(values["origins"])}
        values["repository"] = None if values["repository"] is None else Path(values["repository"])
        return cls(Settings(**values), document["sources"], Path(document["socket"]), document["fd"])


def receive() -> Handover:
    """Read the handover from standard input, which stays open as long as the parent lives."""
    pieces = b""
    while not pieces.endswith(b"\n"):
        piece = os.read(0, 1 << 16)
        if not piece:
            sys.exit(1)
        pieces += piece
    return Handover.of_line(pieces)


def report(document: dict[str, Any]) -> None:
    """Write one line of JSON for the supervisor."""
    os.write(1, json.dumps(document).encode() + b"\n")


def end_with_parent(end: Callable[[], None]) -> None:
    """Call `end` when the parent has gone, however it went; on the event loop."""
    asyncio.get_running_loop().add_reader(0, lambda: None if os.read(0, 1) else end())
