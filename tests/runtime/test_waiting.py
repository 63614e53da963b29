"""Threads sleep while they wait on a busy machine, unless the user chose otherwise or torch is there already."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from residua.runtime import waiting


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A process without torch, with nothing settled."""
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(waiting, "_settled", {})
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    return monkeypatch


@pytest.mark.parametrize(("others", "policy"), [(0.0, None), (1.9, None), (2.0, "passive"), (12.0, "passive")])
def test_the_load_decides(fresh: pytest.MonkeyPatch, others: float, policy: str | None) -> None:
    fresh.setattr(waiting, "_others", lambda: others)
    waiting.settle_waiting()
    assert os.environ.get("OMP_WAIT_POLICY") == policy
    assert bool(waiting.waiting_sentence()) == (policy is not None)
    assert f"{others:.1f} processes of others on 4" in waiting.waiting_sentence() or policy is None


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_the_users_choice_stands(fresh: pytest.MonkeyPatch, name: str) -> None:
    fresh.setattr(waiting, "_others", lambda: 100.0)
    os.environ[name] = "7"
    waiting.settle_waiting()
    assert os.environ.get("OMP_WAIT_POLICY", "7") == os.environ[name] == "7"
    assert waiting.waiting_sentence() == ""


def test_a_process_that_has_torch_is_left_alone(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(waiting, "_others", lambda: 100.0)
    fresh.setitem(sys.modules, "torch", object())
    waiting.settle_waiting()
    assert "OMP_WAIT_POLICY" not in os.environ


def test_a_load_of_the_past_does_not_count(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(os, "getloadavg", lambda: (50.0, 0.0, 0.0))
    assert waiting._others() < 50.0
    fresh.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    assert waiting._others() == 0.0


def test_the_module_needs_no_torch() -> None:
    code = "import sys, residua.runtime.waiting, residua.cli.app; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
