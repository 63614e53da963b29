"""The options that decide scores: checked where they are made."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import torch

from residua._base.errors import InputError
from residua.evaluation.scores.options import ScoreOptions


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
