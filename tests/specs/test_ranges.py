"""Docstrings state what fields take, in the numbers of the annotations."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from residua.cli.app import build_app
from residua.specs.augment import AugmentSpec
from residua.specs.catalog import get_spec, list_models
from residua.specs.fields import Length, Span, field_rules
from residua.specs.preprocess import PreprocessSpec
from residua.specs.ranges import legal, with_ranges
from residua.training.recipe import Recipe

KINDS = sorted({type(get_spec(name)) for name in list_models()}, key=lambda kind: kind.__name__)


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        (Annotated[int, Span(1, 2**24)], "Legal: 1 to 16,777,216."),
        (Annotated[float, Span(0, 1, below=True)], "Legal: 0 to below 1."),
        (Annotated[float, Span(0, 1, above=True)], "Legal: above 0 to 1."),
        (Annotated[float, Span(1e-12, 1)], "Legal: 1e-12 to 1."),
        (Annotated[float, Span(1e-3, 1e3, off=True)], "Legal: 0.001 to 1,000, or 0."),
        (Annotated[float, Span(low=2)], "Legal: 2 and more."),
        (Annotated[float, Span(high=2)], "Legal: at most 2."),
        (Annotated[tuple[Annotated[int, Span(1, 3)], ...], Length(9)], "Legal: each 1 to 3."),
        (Annotated[tuple[float, float], Span(0, 3)], "Legal: each 0 to 3."),
        (Annotated[int, Span(1, 3)] | tuple[Annotated[int, Span(1, 3)], ...], "Legal: 1 to 3; each 1 to 3."),
        (Annotated[str, Length(20)], ""),
        (bool, ""),
    ],
)
def test_ranges_in_words(wanted: Any, text: str) -> None:
    assert legal(wanted) == text


@pytest.mark.parametrize("kind", [*KINDS, AugmentSpec, PreprocessSpec, Recipe], ids=lambda kind: kind.__name__)
def test_every_field_states_what_it_takes(kind: type) -> None:
    for key, wanted in field_rules(kind).items():
        entry = re.search(rf"^ +{key}: .+\n(?: {{9,}}.+\n)*", kind.__doc__ or "", re.MULTILINE)
        assert entry, f"{kind.__name__}.{key} is not in the docstring"
        assert entry[0].count("Legal: ") == bool(legal(wanted))
        assert legal(wanted) in " ".join(entry[0].split())


def test_entries_of_several_lines_and_names_within_others() -> None:
    @with_ranges
    @dataclass
    class Spec:
        """Something.

        Attributes:
            a_b: first,
                on two lines.
            b: second.
        """

        a_b: Annotated[int, Span(1, 2)]
        b: Annotated[int, Span(3, 4)]

    lines = [line.strip() for line in (Spec.__doc__ or "").splitlines()]
    assert lines[3:8] == ["a_b: first,", "on two lines.", "Legal: 1 to 2.", "b: second.", "Legal: 3 to 4."]


def test_the_help_of_train_states_them(capsys: pytest.CaptureFixture[str]) -> None:
    build_app()(["train", "--help"], exit_on_error=False, result_action="return_value")
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "passes over the training images; 0 leaves the length to `max_steps`. Legal: 0 to 1,000,000,000." in shown
