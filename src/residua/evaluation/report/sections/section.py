"""What the page needs of a section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

from residua.evaluation.measures.ensemble import Ensemble
from residua.evaluation.report.findings import Findings

Link = tuple[str, str]
"""(anchor, label) in the navigation of the page."""


class Section(Protocol):
    """A part of the page: a frozen dataclass whose template reads its fields as `section`."""

    @property
    def template(self) -> str:
        """The name of its template."""
        ...

    @property
    def links(self) -> tuple[Link, ...]:
        """Its entries in the navigation."""
        ...

    @classmethod
    def of(cls, findings: Findings) -> Self | None:
        """Return the section of these findings, or None where they have nothing for it."""
        ...


class Subject(Protocol):
    """What sections read that do not depend on how many labels an image has; see `Findings`."""

    @property
    def count(self) -> int: ...
    @property
    def model(self) -> Mapping[str, Any]: ...
    @property
    def data(self) -> Mapping[str, Any]: ...
    @property
    def recipe(self) -> Mapping[str, Any] | None: ...
    @property
    def environment(self) -> Mapping[str, str]: ...
    @property
    def history(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def remarks(self) -> Sequence[str]: ...
    @property
    def computed_with(self) -> Mapping[str, Any] | None: ...
    @property
    def ensemble(self) -> Ensemble | None: ...
    @property
    def seconds(self) -> float | None: ...
    @property
    def cached(self) -> bool: ...
    @property
    def views(self) -> str: ...
    @property
    def rate_search(self) -> Mapping[str, Any] | None: ...
