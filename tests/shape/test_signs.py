"""A difference that rounds to nothing is shown as +0.0: never with the minus of a tiny number."""

from __future__ import annotations

import re
from pathlib import Path

import residua
from residua.studies.intervals import Interval

SOURCE = Path(residua.__file__).parent
# In an f-string or str.format the letter z does so (PEP 682); printf's forms cannot.
MINUS_ZERO = re.compile(r":\+,?\.\d[f%]|%\+\.\d[f%]")


def test_signed_numbers_have_no_minus_zero() -> None:
    files = [path for kind in ("*.py", "*.j2") for path in SOURCE.rglob(kind)]
    places = [
        path.relative_to(SOURCE).as_posix() for path in files if MINUS_ZERO.search(path.read_text(encoding="utf-8"))
    ]
    assert not places


def test_an_interval_around_nothing() -> None:
    assert Interval(-1e-5, -0.012, 0.0, "seeds").percent() == "0.0 (-1.2 to 0.0)"
