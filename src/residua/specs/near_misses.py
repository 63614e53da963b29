"""The names of the catalog that come nearest to a name which it does not have."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Sequence
from typing import NamedTuple

from residua._base.errors import nearest

# What people call families by a word that our names do not contain -> ours, but for the prefix of CIFAR's.
_WORDS = {
    "preact": "resnet*_v2",
    "preactresnet": "resnet*_v2",
    "preresnet": "resnet*_v2",
    "slim": "resnet*_slim",
    "keras": "resnet*_keras",
    "wideresnet": "w*r*n*",
    "bn": "vgg*_bn",
}
_OTHER_IMAGES = 20  # layers that weigh as much as a network for images of another size
_MOST = 200  # characters of a name that are compared


class _Parts(NamedTuple):
    """A name without case, separators and the prefix of the networks for CIFAR.

    Attributes:
        tokens: letters and numbers in turn: ("resnext", 50, 32, "x", 4, "d").
        cifar: whether the name has the prefix.
        text: the name without case.
    """

    tokens: tuple[str | int, ...]
    cifar: bool
    text: str

    @property
    def word(self) -> str:
        return self.tokens[0] if self.tokens and isinstance(self.tokens[0], str) else ""

    @property
    def letters(self) -> str:
        return "".join(token for token in self.tokens if isinstance(token, str))

    @property
    def number(self) -> int | None:
        return next((token for token in self.tokens if isinstance(token, int)), None)


def near_misses(name: str, names: Sequence[str], count: int = 3) -> list[str]:
    """Return up to `count` of `names` that `name` may have been meant for, best first.

    Those that differ in case and separators alone stand for themselves. Else names that begin with it come first, then
    its family by the nearest number. Where there are neither, names that look alike.
    """
    # The letter O for a zero: resnet5O.
    wanted = _parts(re.sub(r"(?<=[0-9])[oO](?![A-Za-z])", "0", name[:_MOST]))
    ours = {each: _parts(each) for each in names}
    if same := [each for each, parts in ours.items() if parts.tokens == wanted.tokens and parts.tokens]:
        return sorted(same, key=lambda each: ours[each].cifar != wanted.cifar)[:count]
    ranked = ((_rank(each, parts, wanted), each) for each, parts in ours.items())
    related = sorted(((rank, each) for rank, each in ranked if rank is not None), key=lambda pair: pair[0])
    # Of further numbers one name each: three variants of one depth would hide the next depth.
    kept: dict[object, str] = {}
    for rank, each in related:
        kept.setdefault(ours[each].number if rank[1] else each, each)
    return list(kept.values())[:count] or [each for each in nearest(name, names, count) if _alike(name, each) >= 0.5]


def same_spelling(name: str, names: Sequence[str]) -> str | None:
    """Return the one of `names` that differs from `name` in case and separators alone; None for none or several."""
    if re.search(r"(?<![0-9])0[0-9]", name):
        return None  # a depth has one spelling
    wanted = _parts(name[:_MOST])
    same = [each for each in names if _parts(each)[:2] == wanted[:2] and wanted.tokens]
    return same[0] if len(same) == 1 else None


def _rank(name: str, parts: _Parts, wanted: _Parts) -> tuple[float, ...] | None:
    """Return how far a name is from the one wanted, the lesser the nearer; None for one of another family."""
    begins = _begins(parts.tokens, wanted.tokens) or (bool(wanted.tokens) and name.startswith(wanted.text))
    synonym = _WORDS.get(wanted.word, "")
    related = bool(synonym) and fnmatch.fnmatchcase(name.removeprefix("cifar_"), synonym)
    if not (begins or related or (wanted.word and parts.word == wanted.word)):
        return None
    distance = 0 if wanted.number is None or parts.number is None else abs(wanted.number - parts.number)
    distance += _OTHER_IMAGES * (parts.cifar != wanted.cifar)
    return (not begins, distance, -_alike(wanted.letters, parts.letters))


def _begins(tokens: tuple[str | int, ...], beginning: tuple[str | int, ...]) -> bool:
    """Return whether a name begins with another; a number is whole, the last letters need not be."""
    if not beginning or len(beginning) > len(tokens) or tokens[: len(beginning) - 1] != beginning[:-1]:
        return False
    mine, last = tokens[len(beginning) - 1], beginning[-1]
    return mine.startswith(last) if isinstance(mine, str) and isinstance(last, str) else mine == last


def _parts(name: str) -> _Parts:
    # A separator parts two numbers; between letters it means nothing: wide_resnet, WideResNet.
    spaced = re.sub(r"(?<=[0-9])[^0-9a-z]+(?=[0-9])", "/", name.casefold())
    tokens = re.findall(r"[a-z]+|[0-9]+", re.sub(r"[^0-9a-z/]+", "", spaced))
    bare = tokens[0].removeprefix("cifar") if tokens and tokens[0] != "cifar" else None
    cifar = bare is not None and bare != tokens[0]
    if cifar and bare is not None:
        tokens[0] = bare
    return _Parts(tuple(int(token) if token.isdigit() else token for token in tokens), cifar, name.casefold())


def _alike(left: str, right: str) -> float:
    return difflib.SequenceMatcher(None, left, right).ratio()
