"""Damaged images of every format are refused by name or decoded, and nothing else ever happens."""

from __future__ import annotations

import pytest

from faults.fuzz.drive import drive
from faults.fuzz.mutate import damaged, damaged_document
from faults.fuzz.targets import TARGETS


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [name for name in TARGETS if name.startswith("image-")])
def test_damaged_images(name: str) -> None:
    outcome = drive(TARGETS[name], seed=0, count=150)
    assert outcome.failures == []
    assert outcome.inputs == 150


def test_the_same_seed_gives_the_same_damage() -> None:
    sound = [bytes(range(256)), b'{"a": 12, "b": [1, 2]}']
    first, again, other = (damaged(sound, seed) for seed in (1, 1, 2))
    made = [next(first) for _ in range(200)]
    assert made == [next(again) for _ in range(200)]
    assert made != [next(other) for _ in range(200)]
    late = damaged(sound, 1, start=150)
    assert next(late) == made[150]
    assert sum(data in sound for data in made) < 20


def test_damaged_documents_keep_the_sound_one() -> None:
    sound = {"a": [1, 2, {"b": "c"}], "d": None}
    kept = repr(sound)
    first, again = damaged_document(sound, 1), damaged_document(sound, 1)
    made = [repr(next(first)) for _ in range(200)]
    assert made == [repr(next(again)) for _ in range(200)]
    assert len(set(made)) > 60
    assert repr(sound) == kept
