"""Any value in any field of any spec either builds or is refused: no other error, and little memory."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from residua._base.errors import InputError
from residua.specs.augment import AugmentSpec
from residua.specs.catalog import get_spec, list_models
from residua.specs.families import FAMILIES
from residua.specs.fields import Temperature, checked
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.training.recipe import Recipe
from residua.training.recipe_file import from_dict, from_toml, to_dict

MOST_BYTES = 4_000_000

ODD = st.sampled_from(
    [
        *(0, -1, 1, 2**31, 2**53 + 1, 2**63, 10**18, 30_000, 10**6, 10**400, 0.0, -0.0, 5e-324, 1e-300, 1e308, 0.5),
        *(float("nan"), float("inf"), float("-inf"), None, True, False, "", "x" * 100_000, "\ud800", "auto", "none"),
    ]
)
VALUES = st.recursive(
    ODD | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
LISTS = st.builds(lambda value, count: [value] * count, ODD, st.sampled_from([1, 2, 3, 4, 5, 6, 9, 1000, 100_000]))
EXAMPLES = {name: get_spec(next(n for n in list_models() if get_spec(n).family == name)) for name in FAMILIES}


def accepted(build: Any) -> Any:
    """Return what is built, or None where it is refused; nothing else happens, and little memory is taken."""
    message = ""
    tracemalloc.start()
    try:
        return build()
    except InputError as error:
        message = str(error)
        return None
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(message) < 5000
        assert peak < MOST_BYTES


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_in_a_network(family: str, data: st.DataObject) -> None:
    document = EXAMPLES[family].to_json()
    field = data.draw(st.sampled_from([*document, "unknown"]))
    value = data.draw(VALUES | LISTS)
    found = accepted(lambda: Spec.from_json({**document, field: value}))
    if found is not None:
        assert Spec.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
        # As Python has it, the answer is the same.
        plain = {key: each for key, each in {**document, field: value}.items() if key != "family"}
        assert FAMILIES[family].spec_class(**plain) == found


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(document=VALUES)
def test_any_document_for_a_network(document: Any) -> None:
    accepted(lambda: Spec.from_json(document))


@pytest.mark.parametrize("kind", [PreprocessSpec, AugmentSpec, Recipe])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_value_in_the_other_specs(kind: type[Any], data: st.DataObject) -> None:
    names = [entry.name for entry in dataclasses.fields(kind)]
    chosen = data.draw(st.dictionaries(st.sampled_from(names), VALUES | LISTS, min_size=1, max_size=2))
    found = accepted(lambda: kind(**chosen))
    if found is not None and kind is Recipe:
        assert from_dict(json.loads(json.dumps(to_dict(found), allow_nan=False))) == found


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(field=st.sampled_from([entry.name for entry in dataclasses.fields(Recipe)]), data=st.data())
def test_any_value_in_a_recipe_file(field: str, data: st.DataObject) -> None:
    value = data.draw(ODD.filter(lambda each: each is not None) | st.integers() | st.floats())
    text = repr(value) if isinstance(value, float) else json.dumps(value)
    accepted(lambda: from_toml(f"{field} = {text}"))
    accepted(lambda: from_toml(f"[augment]\n{field} = {text}"))


def test_a_long_text_in_place_of_a_table_is_shortened() -> None:
    with pytest.raises(InputError, match=r"augment='x+\.\.\.x+' in the recipe") as caught:
        from_toml(f'augment = "{"x" * 100_000}"')
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "text",
    [
        "epochs = " + "9" * 5000,
        "epochs = " + "[" * 5000,
        "a." * 5000 + "b = 1",
        "epochs = 1e999",
        "epochs = 0x" + "f" * 9000,
    ],
)
def test_files_that_overtax_the_reader_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        from_toml(text)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: PreprocessSpec(30_000, 30_000), "1 to 4,096"),
        (lambda: PreprocessSpec(resize=10**18), "1 to 8,192"),
        (lambda: PreprocessSpec(resize=10**400), "1 to 8,192"),
        (lambda: PreprocessSpec(mean=(1e308, 0.5, 0.5)), "mean[0]=1e+308. Wanted: a finite number, -1,000 to 1,000"),
        (lambda: PreprocessSpec(std=(0.2, 5e-324, 0.2)), "std[1]=5e-324. Wanted: a finite number, 1e-06 to 1,000"),
        (lambda: AugmentSpec(mixup=5e-324), "0.001 to 1,000, or 0"),
        (lambda: AugmentSpec(pad=10**9), "0 to 4,096"),
        (
            lambda: Recipe(learning_rate=10**400),
            "learning_rate=a number of more than 40 digits. Wanted: a finite number",
        ),
        (lambda: Recipe(milestones=(30_000,) * 1000), "rising numbers. Perhaps [30000] is meant"),
        (lambda: Recipe(learning_rate=1e300), "above 0 to 1,000,000"),
        (lambda: Recipe(image_size=10**6), "0 to 4,096"),
        (lambda: Recipe(workers=10**9), "0 to 1,024"),
        (lambda: get_spec("resnet50", bn_eps=5e-324), "1e-12 to 1"),
        (lambda: get_spec("resnet50", base_width=1, widths=(8, 8, 8, 8)), "at least one inner channel for each group"),
        (lambda: get_spec("resnet50", output_stride=10**400), "The nearest is 32"),
        (lambda: checked("temperature", 5e-324, Temperature), "0.0001 to 10,000"),
    ],
)
def test_absurd_values_are_refused_where_they_are_born(build: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        build()
    assert words in str(caught.value)
