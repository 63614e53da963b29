"""Field names in messages, rendered as the flags of the running command.

Below the command, messages name a field as Python has it: `batch_size=2`, `resume=True`, `on_bad='skip'`, `out=…` where
no value is meant. A user of the command reads `--batch-size 2`, `--resume`, `--on-bad skip`, `--out`.
"""

from __future__ import annotations

import ast
import functools
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cyclopts import App

from residua._base.errors import InputError
from residua.cli.lists import is_list, joined, plain_hint

Render = Callable[[str, str], str | None]
"""The words for (a field's value as Python writes it, the sign before it); None leaves the text as it is."""

_STRING = r"'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\""
_NUMBER = r"[-+]?(?:\d[\d_,]*\d|\d)(?:\.\d+)?(?:[eE][-+]?\d+)?"
_VALUE = rf"{_STRING}|\[[^\]\n]*\]|\([^)\n]*\)|…|{_NUMBER}|[\w./:+-]*[\w/]"
# A printed command ends at its line, a semicolon, a backtick, a bracket or a comma; shlex quotes all that it must.
COMMAND = r"\bresidua [a-z]+(?: (?:'[^'\n]*'|(?!'|[;`)\n])[^\s`;)])+(?<!,))*"
_FIELD = (
    r"(?<![\w'\"/=?&.\\-])(?P<name>[a-z][a-z_0-9]*)(?P<index>(?:\[\d+\])*)"
    rf"(?:=(?P<value>{_VALUE})(?![\w'\"=/\\])|(?P<sign> [<>]=? )(?=\w))"
)
_BOUNDED = r"(?:(?<=< )|(?<=> )|(?<=<= )|(?<=>= ))(?P<bounded>[a-z][a-z_0-9]*)\b"
# A call of the library, its positional arguments left out.
_CALL = r"(?<![\w.])[a-z_]+\(…, (?P<call>[^()\n]+)\)"
# Any other call is Python: create_model(NAME, weights=FILE).
_PYTHON = r"(?<![\w.])(?:\w+\.)*\w+\([^()\n]*\)"
_PATTERN = re.compile(
    rf"(?P<command>{COMMAND})|{_CALL}|(?P<python>{_PYTHON})|(?<!\w)(?P<quoted>{_STRING})(?!\w)|{_FIELD}|{_BOUNDED}"
)

# The library's names of arguments which the command calls differently.
_LIBRARY = {
    "members": "with_",
    "with": "with_",
    "studies": "study",
    "runs": "run",
    "reestimate": "reestimate_bn",
    "peer": "to",
}


def as_flags(text: str, options: Mapping[str, Render]) -> str:
    """Return a message with each `name=value` of `options` as a flag.

    Names that are no options stay as they are, and so does whatever stands inside quotes or a printed command. A call
    such as `write_for(…, peer=…)` is shown as its flags, where the command has them all.
    """

    def replaced(match: re.Match[str]) -> str:
        if match["call"]:
            fields = match["call"].split(", ")
            flags = [as_flags(field, options) for field in fields]
            return (
                match[0] if any(flag == field for flag, field in zip(flags, fields, strict=True)) else " ".join(flags)
            )
        render = options.get(match["name"] or match["bounded"] or "")
        words = None if render is None else render(match["value"] or "…", match["sign"] or "")
        if words is None:
            return match[0]
        # An entry of a list: zoom[0]=nan is --zoom[0] nan.
        return re.sub(r"^--\S+", rf"\g<0>{match['index'] or ''}", words)

    return _PATTERN.sub(replaced, text)


def error_as_flags(error: InputError, options: Mapping[str, Render]) -> str:
    """Return the text of an error with its fields as flags."""
    return str(InputError(*(as_flags(part, options) for part in (error.given, error.wanted, error.remedy))))


def options_of(app: App, command: str) -> dict[str, Render]:
    """Return how each option of a command is rendered, by its name in Python; a positional argument counts too."""
    options: dict[str, Render] = {}
    for argument in app[command].assemble_argument_collection():
        name, flag = argument.field_info.name, argument.names[0]
        if flag == "*":
            continue  # a group of flags, which follow one by one
        no = next((flag for flag in argument.negatives if flag.startswith("--no-")), "")
        options[name] = functools.partial(_rendered, flag, no, plain_hint(argument.hint))
        if name.startswith("no_"):
            # A switch that turns off what the library has on: cache=False is --no-cache.
            options[name.removeprefix("no_")] = functools.partial(_rendered, f"no {flag}", flag, bool)
    for name, own in _LIBRARY.items():
        if own in options:
            options.setdefault(name, options[own])
    return options


def _rendered(flag: str, no: str, hint: Any, value: str, sign: str) -> str | None:
    """Return a field as words of the command line: `flag` and its value, or `no`, which switches it off."""
    if sign:
        return f"{flag}{sign}"
    if value == "…":
        return flag
    try:
        literal = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        literal = value  # a placeholder such as RUN, or a path
    if literal is True and hint is bool:
        return flag
    if literal is None or literal is False:
        return no if no and literal is False else f"no {flag}"
    if isinstance(literal, list | tuple):
        return _listed(flag, no, hint, literal)
    return f"{flag} {shlex.quote(literal) if literal == '' or isinstance(literal, str) else value}"


def _listed(flag: str, no: str, hint: Any, entries: Sequence[object]) -> str | None:
    if not entries:
        return no if no and is_list(hint) else None
    return f"{flag} {shlex.quote(joined(entries))}"
