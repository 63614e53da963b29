"""Errors of the command line's parser in the words of all others: what was given, what was wanted, what to do."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from cyclopts import CycloptsError
from cyclopts.argument import Argument
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from residua._base.errors import InputError, ask_whether
from residua._base.words import some
from residua.specs.synonyms import meant

_KINDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "the flag alone, or true or false"}
_NEAR_OPTION = 0.8  # of the letters of two flags: below, as with steps and set, they mean different things
_NEAR_CHOICE = 0.6


def as_input_error(error: CycloptsError, command: str) -> InputError | str:
    """Return what the parser refused as an error of ours, or its own words where it refused something rare.

    Args:
        error: of the parser.
        command: as it was called, "residua train".
    """
    see = f"See: {command} --help"
    if isinstance(error, CoercionError) and error.token is not None and error.msg is None:
        flag = error.token.keyword or _name(error.argument)
        return InputError(f"{flag} {shlex.quote(error.token.value)}".lstrip(), *_legal(error, see))
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        name = error.keyword or _name(error.argument)
        if error.keyword or error.argument.tokens:
            return InputError(f"{name} without its value", f"{name} and a value", see)
        return InputError(f"no {name}", f"{name}, which {command} needs", see)
    if isinstance(error, RepeatArgumentError):
        return InputError(f"{error.token.keyword} twice", "one value of it", f"Give it once. {see}")
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        words = some([shlex.quote(word) for word in error.unused_tokens], 5)
        return InputError(f"{words}, which no option of {command} takes", "words that it knows", see)
    if isinstance(error, UnknownOptionError):
        flag = error.token.keyword or error.token.value
        options = [name for each in error.argument_collection if each.parse for name in each.names]
        remedy = meant(flag, options)
        return InputError(
            f"{flag}, which is no option of {command}",
            "an option that it has",
            f"{remedy.rstrip('.?')}{'?' if remedy.endswith('?') else '.'} {see}"
            if remedy
            else _with_near(flag.partition("=")[0], options, _NEAR_OPTION, see),
        )
    return f"{' '.join(str(error).split())} {see}"


def _legal(error: CoercionError, see: str) -> tuple[str, str]:
    """Return what a value may be, and the remedy."""
    kind, value = error.target_type, error.token.value if error.token else ""
    if get_origin(kind) is Literal:
        choices = [str(choice) for choice in get_args(kind)]
        return f"one of {', '.join(choices)}", _with_near(value, choices, _NEAR_CHOICE, see)
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        # Such as a number, or a word that stands for one.
        kinds = (each for each in get_args(kind) if each is not type(None))
        return " or ".join(dict.fromkeys(map(_words, kinds))), see
    return _words(kind), see


def _words(kind: Any) -> str:
    """Return what a value of a kind is, such as "a whole number" or 'auto'."""
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    return _KINDS.get(kind, f"a value of the kind {getattr(kind, '__name__', kind)}")


def _with_near(word: str, known: Iterable[str], least: float, see: str) -> str:
    bare = {name.strip("-").casefold(): name for name in known}
    near = difflib.get_close_matches(word.strip("-").casefold(), bare, n=1, cutoff=least)
    return f"{ask_whether([bare[name] for name in near])} {see}".lstrip()


def _name(argument: Argument | None) -> str:
    """Return an option's flag, or the name of a positional argument in capitals."""
    return "" if argument is None else argument.name if argument.name.startswith("--") else argument.name.upper()
