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

ALIVE_SECONDS = 0.5
"""Between two reports that a process is alive."""


@dataclass(frozen=True)
class Handover:
    """What a process needs to know.

    Attributes:
        settings: of the server.
        sources: where the models lie, by name and version.
        socket: of the engine process.
        listener: the descriptor of the socket that listens; -1 for the engine process.
        reports: the descriptor that reports are written to; whoever starts the process sets it.
    """

    settings: Settings
    sources: dict[str, dict[str, str]]
    socket: Path
    listener: int = -1
    reports: int = -1

    def to_line(self) -> bytes:
        """Return one line of JSON."""
        settings = dataclasses.asdict(self.settings)
        settings["repository"] = None if self.settings.repository is None else str(self.settings.repository.absolute())
        document: dict[str, Any] = {"settings": settings, "sources": self.sources, "socket": str(self.socket)}
        document |= {"listener": self.listener, "reports": self.reports}
        return json.dumps(document).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Handover:
        """Undo `to_line`."""
        document = json.loads(line)
        values = document["settings"]
        values |= {"limits": Limits(**values["limits"]), "origins": tuple(values["origins"])}
        values["repository"] = None if values["repository"] is None else Path(values["repository"])
        descriptors = document["listener"], document["reports"]
        return cls(Settings(**values), document["sources"], Path(document["socket"]), *descriptors)

    def report(self, document: dict[str, Any]) -> None:
        """Write one line of JSON for the supervisor."""
        os.write(self.reports, json.dumps(document).encode() + b"\n")


def receive() -> Handover:
    """Read the handover from standard input, which stays open as long as the parent lives."""
    pieces = b""
    while not pieces.endswith(b"\n"):
        piece = os.read(0, 1 << 16)
        if not piece:
            sys.exit(1)
        pieces += piece
    return Handover.of_line(pieces)


def end_with_parent(end: Callable[[], None]) -> None:
    """Call `end` when the parent has gone, however it went; on the event loop."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        if not os.read(0, 1):
            # At its end a pipe is always readable: the loop would do nothing else from here on.
            loop.remove_reader(0)
            end()

    loop.add_reader(0, ended)


async def report_alive(handover: Handover) -> None:
    """Report again and again that this process is alive; on the event loop, which stands still where it is stuck."""
    while True:
        await asyncio.sleep(ALIVE_SECONDS)
        handover.report({})
