"""The options that decide scores: checked where they are made."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any, get_type_hints

import pytest
import torch

from residua._base.errors import InputError
from residua.cli.score_flags import ScoreFlags
from residua.evaluation.calibrate import calibrate
from residua.evaluation.compare import compare
from residua.evaluation.evaluate import evaluate, evaluate_model
from residua.evaluation.scores.options import PartKeywords, PassKeywords, ScoreKeywords, ScoreOptions, takes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 2.5}, r"batch_size=2\.5"),
        ({"views": "1,11crop"}, "Did you mean 10crop"),
        ({"views": "1,1"}, "twice"),
        ({"device": "banana"}, "banana"),
        ({"on_bad": "ignore"}, "on_bad='ignore'"),
        ({"engine": "eagle"}, "engine='eagle'.*eager"),
        ({"precision": "fp8"}, "precision='fp8'"),
    ],
)
def test_what_is_out_of_range_is_refused_where_it_is_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ScoreOptions(**options)


def test_what_follows_from_the_options() -> None:
    options = ScoreOptions(views=" 1, flip", device="cpu")
    assert options.view_sets == ("1", "flip")
    assert options.where == torch.device("cpu")
    assert (options.engine, options.precision, options.on_bad) == ("eager", "fp32", None)
    with pytest.raises(FrozenInstanceError):
        options.views = "flip"  # type: ignore[misc]


# What a caller may write, and what is meant where it is left out.
PASS = {"batch_size": 256, "device": None, "on_bad": None, "engine": "eager", "precision": "fp32", "progress": None}
PART = {**PASS, "data_dir": None, "cache": True, "labels": None, "columns": None}
SCORE = {**PART, "split": None, "views": "1"}
ROBUSTNESS = {"corrupt": False, "severities": (), "shift": None}
ENSEMBLE = {
    "members": (),
    "member_weights": "equal",
    "weights": None,
    "select": None,
    "slices": None,
    "studies": (),
    "reestimate": False,
    "neighbours": False,
    "projection": "pca",
}
REJECTION = {"reject": None, "score": "energy"}
PAGE = {"name": "", "data": None, "recipe": None, "history": (), "computed_with": None, "root": None}
PAGE |= {"views": "1"}


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (evaluate, {**SCORE, **ENSEMBLE, "unknown": None, "full_provenance": False, **ROBUSTNESS}),
        (compare, SCORE),
        (calibrate, {**PART, **REJECTION}),
        (evaluate_model, {**PASS, **PAGE}),
    ],
)
def test_the_public_keywords(function: Callable[..., Any], wanted: dict[str, Any]) -> None:
    parameters = inspect.signature(function).parameters.values()
    assert {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY} == wanted
    assert not any(each.kind is each.VAR_KEYWORD for each in parameters)
    with pytest.raises(TypeError, match=rf"{function.__name__}\(\) .*'batch_sise'"):
        function(*"abcd"[: sum(each.kind is each.POSITIONAL_OR_KEYWORD for each in parameters)], batch_sise=1)


def test_another_functions_option_is_refused() -> None:
    for name in ("split", "views"):
        with pytest.raises(TypeError, match=rf"calibrate\(\) .*'{name}'"):
            calibrate("a", **{name: "val"})  # type: ignore[arg-type]


def test_keywords_and_flags_are_those_of_the_one_list() -> None:
    options = {field.name: field for field in dataclasses.fields(ScoreOptions)}
    hints = get_type_hints(ScoreOptions)
    for keywords in (PassKeywords, PartKeywords, ScoreKeywords):
        assert get_type_hints(keywords).items() <= hints.items()
    assert set(get_type_hints(ScoreKeywords)) == set(options) - {"data"}
    given = ScoreFlags().keywords(print)  # type: ignore[arg-type]
    # A list option that is not given is empty; the library's own is None.
    assert {**given, "progress": None, "columns": given["columns"] or None} == {
        name: options[name].default for name in given
    }
    assert set(given) == set(options) - {"data"}
    assert set(given) - set(ScoreFlags().part_keywords(print)) == {"split", "views"}  # type: ignore[arg-type]
    flags = ScoreFlags(no_cache=True, batch_size=3)
    assert ScoreOptions(**flags.keywords(print)) == ScoreOptions(cache=False, batch_size=3, progress=print)  # type: ignore[arg-type]


def test_a_dressed_function_passes_on_only_what_was_given() -> None:
    @takes(PassKeywords)
    def passed(first: int, *, second: int = 2, **options: Any) -> dict[str, Any]:
        return {"first": first, "second": second, **options}

    assert passed(1, batch_size=3) == {"first": 1, "second": 2, "batch_size": 3}
