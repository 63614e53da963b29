"""Values as JSON holds them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from residua._base.plain import plain


def test_plain_values_are_json() -> None:
    given = {"a": (1, float("nan")), "b": np.array([1.5, np.inf]), 3: {Path("x")}, "n": np.int64(2), "ok": True}
    assert plain(given) == {"a": [1, None], "b": [1.5, None], "3": ["x"], "n": 2, "ok": True}
    json.dumps(plain(given), allow_nan=False)
