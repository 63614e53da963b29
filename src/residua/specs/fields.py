"""Fields that carry their rules: each value is checked against its annotation where a spec is made.

An annotation holds the type and, in `Annotated`, the field's rules. `Span` gives the numbers that it takes, `Length`
the length of a text or a list, and `Role` what the field bears on. Rules that several families share have names here.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import types
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from residua._base.errors import InputError, did_you_mean
from residua._base.words import quoted

_MOST_ENTRIES = 1000  # of a list: more stages, layers or milestones than any network or recipe has


@dataclass(frozen=True)
class Span:
    """The numbers that a field, or each entry of it, takes: from `low` to `high`.

    Attributes:
        low: the least.
        high: the greatest.
        above: whether `low` itself is left out.
        below: whether `high` itself is left out.
        off: whether 0 is taken too: it switches off what the field is for.
        hint: what to do instead of another number; "" for the field's default.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    off: bool = False
    hint: str = ""

    def holds(self, number: float) -> bool:
        """Return whether `number` is one of them."""
        if self.off and number == 0:
            return True
        low = self.low < number if self.above else self.low <= number
        return low and (number < self.high if self.below else number <= self.high)

    @property
    def words(self) -> str:
        """Return "1 to 16,777,216", "above 0 to 1", "0 to below 1", with ", or 0" where 0 switches off."""
        low = "" if math.isinf(self.low) else f"{'above ' * self.above}{_number(self.low)}"
        high = "" if math.isinf(self.high) else f"{'below ' * self.below}{_number(self.high)}"
        text = f"{low} to {high}" if low and high else f"{low} and more" if low else f"at most {high}"
        return text + ", or 0" * self.off


@dataclass(frozen=True)
class Length:
    """How many characters of text, or entries of a list, a field takes."""

    most: int
    least: int = 0


@dataclass(frozen=True)
class Role:
    """What a field bears on, where that is not what a network computes from given weights.

    Attributes:
        kind: "names" of things; "ends": classes and image; "start": fresh weights; "training" alone; "layout": the
            same numbers in other shapes; "density": the same weights read at more places of the image.
    """

    kind: Literal["names", "ends", "start", "training", "layout", "density"]


# The upper ends are far beyond every published network. They keep what comes after a spec finite: sizes that torch
# counts in 64 bits, factors that float32 holds, and images that fit into memory.
MOST_PIXELS = 4096  # side of a network's input: an image takes 0.2 GB as float32, and one layer of 64 channels 4 GB

Name = Annotated[str, Length(200), Role("names")]
Paper = Annotated[str, Length(1000), Role("names")]
Classes = Annotated[int, Span(0, 10**9, hint="Use 0 for no classifier"), Role("ends")]
InChannels = Annotated[int, Span(1, 2**24), Role("ends")]
InputSize = Annotated[int, Span(1, MOST_PIXELS), Role("ends")]
UnitCount = Annotated[int, Span(1, 10**8)]  # the names of a series have eight digits; `build` takes far fewer
UnitCounts = Annotated[tuple[UnitCount, ...], Length(_MOST_ENTRIES, 1)]
Channels = Annotated[int, Span(1, 2**24)]
ChannelsOfStages = Annotated[tuple[Channels, ...], Length(_MOST_ENTRIES, 1)]
ChannelsOrNone = Annotated[int, Span(0, 2**24, hint="Use 0 for none")]
Side = Annotated[int, Span(1, 1024)]
SideOrNone = Annotated[int, Span(0, 1024, hint="Use 0 to leave one out")]
Border = Annotated[int, Span(0, 1024, hint="Use 0 for none")]
Divisor = Annotated[int, Span(1, 2**24)]
Factor = Annotated[float, Span(-1000, 1000)]
StartBias = Annotated[float, Span(-1000, 1000), Role("start")]
StartBiasOrNone = Annotated[float | None, Span(-1000, 1000), Role("start")]
Deviation = Annotated[float, Span(0, 1000, above=True), Role("start")]
Probability = Annotated[float, Span(0, 1, below=True, hint="It is a probability; customary is 0.5, and 0 is none")]
Dropout = Annotated[Probability, Role("training")]
# float32 holds nothing below 1e-38, and 1 / sqrt(eps) must stay harmless where a channel never varies.
Epsilon = Annotated[float, Span(1e-12, 1, hint="torch's own is 1e-5")]
Momentum = Annotated[float, Span(0, 1, hint="torch's own is 0.1"), Role("training")]
GlobalPool = Annotated[bool, Role("density")]
AuxHeads = Annotated[bool, Role("training")]
AuxWeight = Annotated[float, Span(0, 1000, hint="Use aux_heads=False for no such loss"), Role("training")]
BadPolicy = Literal["refuse", "skip"]  # what is done with images that cannot be read
# Of softmax(logits / T). Beyond these ends probabilities are all but 0 and 1, or all alike.
Temperature = Annotated[float, Span(1e-4, 1e4)]


def settle(spec: Any) -> None:
    """Check every field of a frozen dataclass, as its `__post_init__` begins; lists become tuples, ints floats.

    Raises:
        InputError: a value that its field's annotation does not allow; names the field and its default.
    """
    rules = field_rules(spec.__class__)
    for entry in dataclasses.fields(spec):
        value = checked(entry.name, getattr(spec, entry.name), rules[entry.name], left_out(spec.__class__, entry.name))
        object.__setattr__(spec, entry.name, value)


def left_out(kind: type[Any], key: str) -> str:
    """Return what a dataclass has where a field is left out, as the remedy of an error: "Leave it out for 0.0"."""
    default = next((entry.default for entry in dataclasses.fields(kind) if entry.name == key), dataclasses.MISSING)
    own = "to keep the network's own" if default is dataclasses.MISSING else f"for {quoted(default, 60)}"
    return f"Leave it out {own}"


@functools.cache
def field_rules(kind: type) -> dict[str, Any]:
    """Return the resolved annotation of each field of a dataclass, rules included, in order."""
    hints = get_type_hints(kind, include_extras=True)
    return {entry.name: hints[entry.name] for entry in dataclasses.fields(kind)}


@functools.cache
def field_types(kind: type) -> dict[str, Any]:
    """Return the type of each field of a dataclass, without its rules, in order."""
    hints = get_type_hints(kind)
    return {entry.name: hints[entry.name] for entry in dataclasses.fields(kind)}


@functools.cache
def field_roles(kind: type) -> dict[str, str]:
    """Return what the fields of a dataclass bear on; those that decide what a network computes are left out."""
    roles = {key: [rule.kind for rule in _rules(wanted) if isinstance(rule, Role)] for key, wanted in _items(kind)}
    return {key: kinds[-1] for key, kinds in roles.items() if kinds}


def checked(key: str, value: Any, wanted: Any, remedy: str = "") -> Any:
    """Return `value` as the annotation `wanted` has it: an int as a float, a list as a tuple, a number as a tuple of
    one.

    Raises:
        InputError: the value is of another type, NaN or infinite, none of the choices of a Literal, or against a rule.
    """
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        try:
            settled = checked(key, value, arguments[0], remedy)
        except InputError as error:
            spans = [rule for rule in arguments[1:] if isinstance(rule, Span)]
            if not spans or arguments[0] not in (int, float):
                raise
            hint = spans[0].hint or remedy
            raise InputError(error.given, f"{error.wanted}, {spans[0].words}", hint) from None
        for rule in arguments[1:]:
            _obey(key, settled, rule, remedy)
        return settled
    if origin in (types.UnionType, Union):
        kinds = [argument for argument in arguments if argument is not type(None)]
        if value is None and len(kinds) < len(arguments):
            return None
        # Of "a number or a list of numbers" the one that has the form of the value.
        listed = isinstance(value, list | tuple)
        inner = next((kind for kind in kinds if (get_origin(kind) is tuple) == listed), kinds[0])
        return checked(key, value, inner, remedy)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            remedy = did_you_mean(value[:100], arguments, 1) or remedy if isinstance(value, str) else remedy
            raise InputError(f"{key}={quoted(value)}", expected(wanted), remedy)
        return value
    if origin is tuple:
        return _entries(key, value, wanted, remedy)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is float and number and abs(value) <= sys.float_info.max:
        return float(value)
    if wanted is float or not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise InputError(f"{key}={quoted(value)}", expected(wanted), remedy)
    return value


def parsed(key: str, text: str, wanted: Any, remedy: str = "") -> Any:
    """Return the value that a word of a command line means for a field: "0.1", "yes", "60,120", "[2,1],[2,2]".

    Brackets, round or square, hold the lists inside a list, and may stand around the whole; "none" is None where the
    field may be None.

    Raises:
        InputError: it means none.
    """
    try:
        return _meant(text.strip(), wanted)
    except (ValueError, KeyError):
        raise InputError(f"{key}={quoted(text)}", expected(wanted), remedy or "Leave it out for the default") from None


def written(value: Any) -> str:
    """Return a field's value as `parsed` reads it."""
    if isinstance(value, list | tuple):
        words = (f"[{written(each)}]" if isinstance(each, list | tuple) else written(each) for each in value)
        return ",".join(words) or "[]"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _meant(text: str, wanted: Any, *, inside: bool = False) -> Any:
    wanted = _plain(wanted)
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (types.UnionType, Union):
        kinds = [_plain(kind) for kind in arguments if kind is not type(None)]
        if text.lower() == "none" and len(kinds) < len(arguments):
            return None
        listed = any(sign in text for sign in ",[(")
        return _meant(text, next((kind for kind in kinds if (get_origin(kind) is tuple) == listed), kinds[0]))
    if origin is tuple:
        entries = _entries_of(text, _levels(wanted), inside)
        each = arguments[:1] * len(entries) if arguments[-1] is Ellipsis else arguments
        return tuple(_meant(entry, kind, inside=True) for entry, kind in zip(entries, each, strict=True))
    if wanted is bool:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
    return wanted(text) if wanted in (int, float) else text


def _levels(wanted: Any) -> int:
    """Return how deep the lists of an annotation stand in one another; 0 for no list."""
    wanted = _plain(wanted)
    return 1 + _levels(get_args(wanted)[0]) if get_origin(wanted) is tuple else 0


def _entries_of(text: str, levels: int, inside: bool) -> list[str]:
    """Return the words between the outermost commas or spaces of a list; one `inside` another keeps its brackets."""
    text = text.replace("(", "[").replace(")", "]")
    opened = len(text) - len(text.lstrip("["))
    if opened == levels or text == "[]":
        if not text.endswith("]"):
            raise ValueError(text)
        text = text[1:-1]
    elif inside or (opened != levels - 1 and text):
        raise ValueError(text)
    parts, depth = [""], 0
    for sign in text:
        depth += (sign == "[") - (sign == "]")
        if depth < 0:
            raise ValueError(text)
        if depth == 0 and sign in ", ":
            parts.append("")
        else:
            parts[-1] += sign
    if depth:
        raise ValueError(text)
    return [part for part in parts if part]


def expected(wanted: Any) -> str:
    """Return an annotation in words: "a list of whole numbers"."""
    wanted = _plain(wanted)
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Literal:
        return f"one of {', '.join(repr(choice) for choice in arguments)}"
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        entry = _plain(arguments[0])
        entries = {int: "whole numbers", float: "numbers"}.get(entry, f"entries, each {expected(entry)}")
        return f"a list of {count}{entries}"
    words = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text"}
    return words.get(wanted, f"a value of type {getattr(wanted, '__name__', wanted)}")


def _entries(key: str, value: Any, wanted: Any, remedy: str) -> tuple[Any, ...]:
    arguments = get_args(wanted)
    items = [value] if isinstance(value, int | float) and not isinstance(value, bool) else value
    fixed = arguments[-1] is not Ellipsis
    if not isinstance(items, list | tuple) or (fixed and len(items) != len(arguments)):
        raise InputError(f"{key}={quoted(value)}", expected(wanted), remedy)
    if len(items) > _MOST_ENTRIES:
        raise InputError(f"{key} with {len(items):,} entries", f"at most {_MOST_ENTRIES:,} entries", remedy)
    keys = [key] if items is not value else [f"{key}[{index}]" for index in range(len(items))]
    return tuple(
        checked(each, item, kind, remedy)
        for each, item, kind in zip(keys, items, arguments if fixed else arguments[:1] * len(items), strict=True)
    )


def _obey(key: str, value: Any, rule: Any, remedy: str) -> None:
    if isinstance(rule, Span) and value is not None:
        entries = value if isinstance(value, tuple) else (value,)
        for number in entries:
            if not rule.holds(number):
                kind = "a finite number, " if isinstance(number, float) else "a whole number, "
                raise InputError(f"{key}={quoted(value)}", kind + rule.words, rule.hint or remedy)
    if isinstance(rule, Length) and not rule.least <= len(value) <= rule.most:
        kind = "characters" if isinstance(value, str) else "entries"
        raise InputError(f"{key} of {len(value):,} {kind}", f"{rule.least:,} to {rule.most:,} {kind}", remedy)


def _items(kind: type) -> list[tuple[str, Any]]:
    return list(field_rules(kind).items())


def _rules(wanted: Any) -> tuple[Any, ...]:
    return get_args(wanted)[1:] if get_origin(wanted) is Annotated else ()


def _plain(wanted: Any) -> Any:
    """Return an annotation without its rules."""
    return get_args(wanted)[0] if get_origin(wanted) is Annotated else wanted


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) and abs(value) < 2**63 else f"{value:g}"
