"""Options that take a list: entries with commas between, the option repeated, or both; one rule for every command.

A comma that belongs to an entry has a backslash before it (`--run 'a\\,b'`). A path that exists is one entry, whatever
its name. An option of two numbers, such as `--scale`, also takes them one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from cyclopts import App
from cyclopts.argument import Argument

from residua._base.errors import InputError

EDITS = "--set"
"""The option whose entries are FIELD=VALUE: a comma separates two of them only before a field's name."""

STANDARD_INPUT = "@-"
"""How `residua.inference.sources` calls the list of paths on standard input."""
_TAKES_LISTS = "predict"

_FRACTION = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?")
_NUMBER = re.compile(r"[-+]?\.?\d")


def is_list(hint: Any) -> bool:
    """Return whether an option's annotation, which may allow None, is that of a list."""
    return get_origin(plain_hint(hint)) is tuple


def plain_hint(hint: Any) -> Any:
    """Return an annotation without None."""
    arguments = [each for each in get_args(hint) if each is not type(None)]
    return arguments[0] if type(None) in get_args(hint) else hint


def length(hint: Any) -> int:
    """Return how many entries a list always has; 0 for any number."""
    arguments = get_args(plain_hint(hint))
    return 0 if arguments[-1] is Ellipsis else len(arguments)


def joined(entries: Sequence[object]) -> str:
    """Return the entries as one word of the command line."""
    return ",".join(str(entry).replace(",", r"\,") for entry in entries)


def split(word: str, flag: str, hint: Any) -> list[str]:
    """Return the entries that a word means for the list option `flag`, without the spaces around them."""
    if flag == EDITS:
        return [entry.strip() for entry in re.split(r",(?=\s*[a-z_][a-z_0-9]*\s*=)", word)]
    kind = get_args(plain_hint(hint))[0]
    if kind in (int, float) and word.startswith("[") and word.endswith("]"):
        word = word[1:-1]
    if kind in (str, Path) and "," in word and Path(word).exists():
        return [word]
    entries = [entry.strip().replace(r"\,", ",") for entry in re.split(r"(?<!\\),", word)]
    if "" in entries and any(entries):
        kept = joined([entry for entry in entries if entry])
        raise InputError(f"{flag} {word}", "an entry beside each comma", f"Write {flag} {kept}")
    if kind is int:
        for entry in entries:
            _refuse_fraction(flag, entry)
    return entries if any(entries) else [word]


def spread(app: App, words: Sequence[str]) -> list[str]:
    """Return the words of a command with every list option as the parser takes it: one entry per flag.

    A lone hyphen, the list of paths on standard input, becomes `STANDARD_INPUT`.

    Raises:
        InputError: an option of a fixed number of entries has another number; a fraction stands for a whole number.
    """
    if not words or words[0].startswith("-") or words[0] not in app:
        return list(words)
    if words[0] == _TAKES_LISTS:
        # The parser takes a lone hyphen for an option.
        words = [STANDARD_INPUT if word == "-" else word for word in words]
    options, whole = _list_options(app, words[0]), _whole_options(app, words[0])
    result: list[str] = []
    pairs: dict[str, list[str]] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            result += [word, *rest]
            break
        flag, sign, value = word.partition("=")
        flag = flag.replace("_", "-")
        if flag in whole and (sign or rest):
            _refuse_fraction(flag, value if sign else rest[0])
        if flag not in options or not (sign or rest):
            result.append(word)
            continue
        hint = options[flag].hint
        if not length(hint):
            entries = split(value if sign else rest.pop(0), flag, hint)
            result += [f"{flag}={entry}" for entry in entries]
            continue
        entries = pairs.setdefault(flag, [])
        entries += split(value if sign else rest.pop(0), flag, hint)
        while not sign and len(entries) < length(hint) and rest and _is_entry(rest[0]):
            entries += split(rest.pop(0), flag, hint)
    for flag, entries in pairs.items():
        count = length(options[flag].hint)
        if len(entries) != count:
            raise InputError(
                f"{flag} {joined(entries)}",
                f"{count} values",
                f"Write them with commas: {flag} {','.join('AB'[:count])}",
            )
        result[1:1] = [flag, *entries]
    return result


def _list_options(app: App, command: str) -> dict[str, Argument]:
    """Return the list options of a command by their flags, former names included."""
    arguments = app[command].assemble_argument_collection()
    flags = (
        (flag, each) for each in arguments if is_list(each.hint) for flag in each.names if flag not in each.negatives
    )
    return {flag: argument for flag, argument in flags if flag.startswith("--")}


def _whole_options(app: App, command: str) -> set[str]:
    """Return the flags of a command that take one whole number."""
    arguments = app[command].assemble_argument_collection()
    return {flag for each in arguments if plain_hint(each.hint) is int for flag in each.names if flag.startswith("--")}


def _refuse_fraction(flag: str, word: str) -> None:
    """Refuse a fraction, which the parser would round."""
    if _FRACTION.fullmatch(word):
        raise InputError(f"{flag} {word}", "a whole number", "Write its digits alone, such as 30")


def _is_entry(word: str) -> bool:
    return not word.startswith("-") or _NUMBER.match(word) is not None
