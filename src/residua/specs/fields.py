"""Fields checked against their annotations: a value of the wrong type is refused where a spec is made."""

from __future__ import annotations

import dataclasses
import functools
import sys
import types
from typing import Any, Literal, NoReturn, Union, get_args, get_origin, get_type_hints

from residua._base.errors import InputError, did_you_mean


def settle(spec: Any) -> None:
    """Check every field of a frozen dataclass, as its `__post_init__` begins; lists become tuples, ints floats.

    Raises:
        InputError: a value that its field's annotation does not allow; names the field and its default.
    """
    wanted = field_types(spec.__class__)
    for entry in dataclasses.fields(spec):
        default = entry.default
        own = "to keep the network's own" if default is dataclasses.MISSING else f"for {default!r}"
        value = checked(entry.name, getattr(spec, entry.name), wanted[entry.name], f"Leave it out {own}")
        object.__setattr__(spec, entry.name, value)


def refuse(spec: Any, given: str, wanted: str, remedy: str) -> NoReturn:
    """Raise the InputError of a spec that cannot be; it names the network."""
    raise InputError(f"{given} for {spec.name}", wanted, remedy)


def positive(spec: Any, *names: str) -> None:
    """Refuse a field, or an entry of one, that is below 1, and an empty list."""

    def holds(value: Any) -> bool:
        return bool(value) and all(map(holds, value)) if isinstance(value, tuple) else bool(value >= 1)

    for name in names:
        value = getattr(spec, name)
        if not holds(value):
            refuse(spec, f"{name}={value!r}", "whole numbers above 0", f"Give {name} another value")


def probability(spec: Any, *names: str) -> None:
    """Refuse a field, or an entry of one, that is no probability of dropping."""
    for name in names:
        value = getattr(spec, name)
        numbers = value if isinstance(value, tuple) else (value,)
        if any(not 0 <= number < 1 for number in numbers):
            refuse(spec, f"{name}={value!r}", "a probability: 0 <= p < 1", "Customary is 0.5; 0 is none")


def norm_constants(spec: Any) -> None:
    """Refuse a `bn_eps` or a `bn_momentum` that batch normalisation cannot use."""
    if spec.bn_eps <= 0 or not 0 <= spec.bn_momentum <= 1:
        refuse(
            spec,
            f"bn_eps={spec.bn_eps}, bn_momentum={spec.bn_momentum}",
            "bn_eps > 0 and 0 <= bn_momentum <= 1",
            "torch's own are 1e-5 and 0.1",
        )


def aux_weight(spec: Any) -> None:
    """Refuse a negative weight of the auxiliary losses."""
    if spec.aux_weight < 0:
        refuse(spec, f"aux_weight={spec.aux_weight}", "aux_weight >= 0", "Use aux_heads=False for no such loss")


@functools.cache
def field_types(kind: type) -> dict[str, Any]:
    """Return the resolved annotation of each field of a dataclass, in order."""
    hints = get_type_hints(kind)
    return {entry.name: hints[entry.name] for entry in dataclasses.fields(kind)}


def checked(key: str, value: Any, wanted: Any, remedy: str = "") -> Any:
    """Return `value` as the annotation `wanted` has it: an int serves as a float, a list as a tuple, a number as a
    tuple of one.

    Raises:
        InputError: the value is of another type, is NaN or infinite, or none of the choices of a Literal.
    """
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (types.UnionType, Union):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return None if value is None else checked(key, value, inner, remedy)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            remedy = did_you_mean(str(value), arguments, 1) or remedy
            raise InputError(f"{key}={value!r}", expected(wanted), remedy)
        return value
    if origin is tuple:
        items = [value] if isinstance(value, int | float) and not isinstance(value, bool) else value
        fixed = arguments[-1] is not Ellipsis
        if not isinstance(items, list | tuple) or (fixed and len(items) != len(arguments)):
            raise InputError(f"{key}={value!r}", expected(wanted), remedy)
        return tuple(checked(key, item, arguments[0], remedy) for item in items)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is float and number and abs(value) <= sys.float_info.max:
        return float(value)
    if wanted is float or not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise InputError(f"{key}={value!r}", expected(wanted), remedy)
    return value


def expected(wanted: Any) -> str:
    """Return an annotation in words: "a list of whole numbers"."""
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Literal:
        return f"one of {', '.join(repr(choice) for choice in arguments)}"
    if origin is tuple:
        count = "" if arguments[-1] is Ellipsis else f"{len(arguments)} "
        entries = {int: "whole numbers", float: "numbers"}.get(arguments[0], f"entries, each {expected(arguments[0])}")
        return f"a list of {count}{entries}"
    words = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text"}
    return words.get(wanted, f"a value of type {getattr(wanted, '__name__', wanted)}")
