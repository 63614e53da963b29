"""Networks of any legal depth under one pattern of names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from residua._base.errors import InputError
from residua.specs.schema import Spec


@dataclass(frozen=True)
class Series:
    """Networks of any legal depth under one pattern of names, such as `cifar_resnet{6n+2}`.

    Attributes:
        pattern: the name with {depth} and, for wide networks, {width}.
        per_n: layers that one more unit a stage adds.
        offset: layers besides the units, so that depth = per_n · n + offset.
        build: (name, n[, width]) -> spec.
        listed: the depths (or (depth, width) pairs) of the papers, which `list_models` shows.
    """

    pattern: str
    per_n: int
    offset: int
    build: Callable[..., Spec]
    listed: tuple[Any, ...]

    @property
    def depths(self) -> str:
        """The legal depths as a formula: "6n+2", or "n" where every depth above `offset` is legal."""
        return f"{self.per_n}n+{self.offset}" if self.per_n > 1 else "n"

    def names(self) -> list[str]:
        """Return the listed names."""
        pairs = (entry if isinstance(entry, tuple) else (entry, None) for entry in self.listed)
        return [self.pattern.format(depth=depth, width=width) for depth, width in pairs]

    def match(self, name: str) -> Spec | None:
        """Return the spec that `name` stands for, None when it is not of this series.

        Raises:
            InputError: an illegal depth; names the nearest legal ones.
        """
        # One spelling a number: no leading zeros, no digits of other scripts. (0 is matched to be refused by name.)
        # A width has five digits: the sizes of wider kernels overflow.
        number = "(?P<{}>0|[1-9][0-9]{{0,{}}})"
        pattern = self.pattern.format(depth=number.format("depth", 8), width=number.format("width", 4))
        match = re.fullmatch(pattern, name)
        if not match:
            return None
        depth, width = int(match["depth"]), match.groupdict().get("width")
        n, rest = divmod(depth - self.offset, self.per_n)
        if rest or n < 1 or width == "0":
            below = max(1, n) * self.per_n + self.offset
            depths = (below, below + self.per_n) if rest or n < 1 else (depth,)
            near = [self.pattern.format(depth=d, width=1 if width == "0" else width) for d in depths]
            raise InputError(
                f"network {name!r}",
                f"a depth of {self.depths}, n >= {1 if self.per_n > 1 else 1 + self.offset}"
                + (", and a width >= 1" if width == "0" else ""),
                f"The nearest: {' and '.join(near)}",
            )
        return self.build(name, n, int(width)) if width else self.build(name, n)
