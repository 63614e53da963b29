"""What an engine process opens: the command's models first, and after a restart exactly what was served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from residua._base.errors import InputError
from residua.serving.model import ModelVersion
from residua.serving.settings import Settings
from residua.serving.workers import engine
from residua.serving.workers.handover import Handover


@pytest.fixture
def handover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Handover:
    """Two models of the command; a model opens unless its source is "bad"."""

    def opened(name: str, version: str, source: str, settings: Settings) -> tuple[str, str, str]:
        if source == "bad":
            raise InputError("bad", "a run", "Check the path")
        return name, version, source

    monkeypatch.setattr(ModelVersion, "open", opened)
    return Handover(Settings(), {"a": {"1": "x"}, "b": {"1": "y"}}, tmp_path / "engine")


def _opened(handover: Handover, served: Any = None) -> list[Any]:
    if served is not None:
        (handover.socket.with_name("served.json")).write_text(json.dumps(served))
    return engine._opened_first(handover)


def test_the_first_opens_what_the_command_names(handover: Handover) -> None:
    assert _opened(handover) == [("a", "1", "x"), ("b", "1", "y")]


def test_what_a_client_unloaded_does_not_come_back(handover: Handover) -> None:
    assert _opened(handover, {"b": {"1": "y"}, "c": {"2": "z"}}) == [("b", "1", "y"), ("c", "2", "z")]
    assert _opened(handover, {}) == []


def test_what_cannot_be_opened_again(handover: Handover) -> None:
    """A model that a client loaded is left out; one of the command's ends the process."""
    assert _opened(handover, {"b": {"1": "y"}, "c": {"1": "bad"}}) == [("b", "1", "y")]
    with pytest.raises(InputError, match="bad"):
        _opened(handover, {"b": {"1": "bad"}})
