"""What the page needs of a section."""

from __future__ import annotations

from typing import Protocol, Self

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
