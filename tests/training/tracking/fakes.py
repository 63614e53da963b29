"""Trackers that remember what they were called with, and a package that stands for wandb."""

from __future__ import annotations

import threading
import types
from typing import Any

Call = tuple[str, tuple[Any, ...]]


class Remembering:
    """A tracker of the protocol."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.threads: set[int] = set()

    def start(self, config: dict[str, Any]) -> None:
        self._remember("start", config)

    def log(self, step: int, numbers: dict[str, float]) -> None:
        self._remember("log", step, numbers)

    def image(self, step: int, name: str, png: bytes) -> None:
        self._remember("image", step, name, png)

    def finish(self, status: str) -> None:
        self._remember("finish", status)

    def of(self, method: str) -> list[tuple[Any, ...]]:
        """Return the arguments of each call of a method."""
        return [arguments for name, arguments in self.calls if name == method]

    def _remember(self, method: str, *arguments: Any) -> None:
        self.threads.add(threading.get_ident())
        self.calls.append((method, arguments))


class Failing(Remembering):
    """A tracker that raises in its first `times` calls."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def _remember(self, method: str, *arguments: Any) -> None:
        if self.left:
            self.left -= 1
            raise ConnectionError("no route to host")
        super()._remember(method, *arguments)


class FakeWandb(types.ModuleType):
    """The part of wandb that the adapter calls; `inits` and `logs` of all runs together."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.inits: list[dict[str, Any]] = []
        self.logs: list[tuple[int, dict[str, Any]]] = []
        self.codes: list[int] = []

    def Settings(self, **settings: Any) -> dict[str, Any]:
        return settings

    def Image(self, picture: Any) -> tuple[int, int]:
        size: tuple[int, int] = picture.size
        return size

    def init(self, **keywords: Any) -> FakeWandb:
        self.inits.append(keywords)
        return self

    def log(self, numbers: dict[str, Any], step: int) -> None:
        self.logs.append((step, numbers))

    def finish(self, exit_code: int) -> None:
        self.codes.append(exit_code)

    @property
    def epochs(self) -> list[int]:
        """The steps of the lines of the history."""
        return [step for step, numbers in self.logs if "train_loss" in numbers]
