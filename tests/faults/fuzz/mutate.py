"""Damaged inputs, made from sound ones: the same seed always gives the same damage.

`damaged` works on bytes of any format; `damaged_document` works on a parsed JSON or TOML document, where random bytes
would seldom get past the parser.
"""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

_BYTES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
_WORDS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
_NUMBERS = (b"0", b"-1", b"1e999", b"NaN", b"99999999999999999999", b"1" + b"0" * 400, b"5e-324", b"null", b'""')
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**18, 10**400, 0.5, -1.0, 5e-324, 1e308),
    *(float("nan"), float("inf"), "", "a", "\x1b[31m", "é", "x" * 10_000, [], [None], [[]], {}, {"a": None}),
)
_MAX_GROWTH = 4096


def damaged(sound: Sequence[bytes], seed: int, start: int = 0) -> Iterator[bytes]:
    """Yield damaged inputs without end.

    Args:
        sound: inputs that the reader accepts; each is damaged in turn, and parts of them are exchanged.
        seed: equal seeds give equal inputs.
        start: number of the first input; input n is the same wherever the iteration starts.
    """
    number = start
    while True:
        chance = random.Random(f"{seed}/{number}")
        data = bytearray(sound[number % len(sound)])
        # Most damage in practice, and most of what reaches the depth of a reader, is a single change.
        for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
            _damage(data, sound, chance)
        yield bytes(data)
        number += 1


def damaged_document(sound: Any, seed: int, start: int = 0) -> Iterator[Any]:
    """Yield copies of a document of dicts, lists and plain values, each with one to three damaged places.

    A place is replaced by an absurd value, removed, or exchanged with a different place of the document.
    """
    number = start
    while True:
        chance = random.Random(f"{seed}/{number}")
        holder = {"document": copy.deepcopy(sound)}
        for _ in range(chance.choice((1, 1, 2, 3))):
            places = list(_places(holder))
            container, key = chance.choice(places)
            how = chance.randrange(4)
            if how == 0 and container is not holder:
                del container[key]
            elif how == 1:
                other, at = chance.choice(places)
                container[key] = copy.deepcopy(other[at])
            else:
                container[key] = copy.deepcopy(chance.choice(_VALUES))
        yield holder["document"]
        number += 1


def _places(container: Any) -> Iterator[tuple[Any, Any]]:
    items = container.items() if isinstance(container, dict) else enumerate(container)
    for key, value in items:
        yield container, key
        if isinstance(value, (dict, list)):
            yield from _places(value)


def _damage(data: bytearray, sound: Sequence[bytes], chance: random.Random) -> None:
    if not data:
        data += chance.randbytes(chance.randrange(1, 64))
        return
    # Headers stand at the start and indices at the end of most formats: half of the damage goes there.
    place = chance.choice(
        (
            chance.randrange(len(data)),
            chance.randrange(len(data)),
            chance.randrange(min(len(data), 128)),
            len(data) - 1 - chance.randrange(min(len(data), 64)),
        )
    )
    size = min(chance.choice((1, 2, 4, 16, 256, 4096)), len(data) - place)
    how = chance.randrange(10)
    if how == 0:
        data[place] ^= 1 << chance.randrange(8)
    elif how == 1:
        data[place] = chance.choice(_BYTES)
    elif how == 2:
        data[place] = chance.randrange(256)
    elif how == 3:
        width = chance.choice((2, 4, 8))
        word = chance.choice(_WORDS) & ((1 << 8 * width) - 1)
        data[place : place + width] = word.to_bytes(width, chance.choice(("little", "big")))
    elif how == 4:
        del data[place:]
    elif how == 5:
        del data[place : place + size]
    elif how == 6:
        data[place:place] = data[place : place + size]
    elif how == 7:
        data[place : place + size] = chance.choice((b"\0", b"\xff", b"\xaa")) * size
    elif how == 8:
        other = chance.choice(sound)
        begin = chance.randrange(max(len(other), 1))
        data[place : place + size] = other[begin : begin + min(size, _MAX_GROWTH)]
    else:
        numbers = list(re.finditer(rb"-?\d+(\.\d+)?", bytes(data)))
        if numbers:
            found = chance.choice(numbers)
            data[found.start() : found.end()] = chance.choice(_NUMBERS)
        else:
            data[place] ^= 0xFF
