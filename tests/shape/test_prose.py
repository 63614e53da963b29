"""Plain words: names, comments, docstrings and messages without those that a native engineer would not write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("src", "tests", "tools", "benchmarks", "proofs")
KINDS = {".py", ".j2", ".toml", ".cpp", ".h", ".css", ".html"}
# Each with what to write in its place.
PLAIN = {
    "anew": "again, fresh",
    "at hand": "available, current",
    "heed(?:s|ed|ing)?": "respect, check",
    "hence": "so",
    "lest": "so that … not",
    "mend(?:s|ed|ing)?": "fix, repair",
    "of the very same": "of the same",
    "says": "states, reads, is",
    r"tells(?!.*\bapart\b)": "states, shows",
    "thereof": "of it",
    r"told(?!.*\bapart\b)": "stated, given",
    "what there is not": "what is missing",
    "a wish": "a preference",
}
# An underscore separates words: names count too.
UNWANTED = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(PLAIN)})(?![A-Za-z])", re.IGNORECASE)
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for place in PLACES
    for path in (ROOT / place).rglob("*")
    if path.suffix in KINDS and path != Path(__file__)
)


@pytest.mark.parametrize("place", FILES)
def test_the_words_are_plain(place: str) -> None:
    text = (ROOT / place).read_text(encoding="utf-8")
    found = [
        f"{place}:{number}: {word[0]!r} (rather: {next(v for k, v in PLAIN.items() if re.match(k, word[0], re.I))})"
        for number, line in enumerate(text.splitlines(), 1)
        for word in UNWANTED.finditer(line)
    ]
    assert not found, "\n".join(found)


def test_words_are_found() -> None:
    assert UNWANTED.findall("It Says; told_at, Mended at hand") == ["Says", "told", "Mended", "at hand"]
    assert not UNWANTED.findall("recommended, essays, whence it came, retold, handy")
