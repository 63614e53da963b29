"""Damaged files of weights are refused by name or read, and nothing else ever happens."""

from __future__ import annotations

import pytest

from faults.fuzz.drive import drive
from faults.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", [name for name in TARGETS if name.startswith("weights-")])
def test_damaged_weights(name: str) -> None:
    outcome = drive(TARGETS[name], seed=0, count=150)
    assert outcome.failures == []
    assert outcome.inputs == 150
