"""Provenance: data, recipe and environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from residua.evaluation.report.sections.section import Link, Subject
from residua.evaluation.report.text import flat_fields, sentence, shown

Fact = tuple[str, str]
"""(name, value)."""


@dataclass(frozen=True)
class ProvenanceSection:
    """Where the numbers come from.

    Attributes:
        notes: how the data was opened, sentences.
        splits: names of the parts.
        counts: name of a class and its images in each part, the totals first.
        data: facts about the data.
        member: the member of an ensemble that the recipe belongs to, or "".
        recipe: the complete recipe, or ().
        environment: versions, machine, weights and paper.
    """

    notes: tuple[str, ...]
    splits: tuple[str, ...]
    counts: tuple[tuple[str, tuple[int, ...]], ...]
    data: tuple[Fact, ...]
    member: str
    recipe: tuple[Fact, ...]
    environment: tuple[Fact, ...]
    template: ClassVar[str] = "provenance.html.j2"
    links: ClassVar[tuple[Link, ...]] = (("provenance", "Provenance"),)

    @classmethod
    def of(cls, findings: Subject) -> Self:
        """Return the section of these findings."""
        counts = findings.data.get("class_counts", {})
        several = bool(findings.data.get("multilabel"))
        notes = (note for note in findings.data.get("notes", ()) if note not in findings.remarks)
        weights = [
            ("SHA-256 of the weights", str(findings.model.get("weights_sha256") or "")),
            ("network published in", str(findings.model.get("paper") or "")),
        ]
        return cls(
            notes=tuple(sentence(str(note)) for note in notes),
            splits=tuple(counts),
            counts=tuple(
                _counts(counts, findings.data.get("classes", ()), findings.data.get("counts") if several else None)
            ),
            data=tuple(_data(findings.data)),
            member=findings.ensemble.members[0].name if findings.ensemble else "",
            recipe=tuple(_with_choices(findings)),
            environment=(*findings.environment.items(), *((name, value) for name, value in weights if value)),
        )


_CHOSEN = {"precision": "precision", "kernels": "kernels", "device": "device", "channels_last": "channels_last"}
"""Fields of a recipe that may be "auto" -> what training states of its choice."""


def _with_choices(findings: Subject) -> list[Fact]:
    """Return the fields of the recipe; beside "auto" stands what was chosen."""
    # Read from a bundle, which may be somebody else's.
    chosen = findings.computed_with if isinstance(findings.computed_with, Mapping) else {}
    rows = []
    for name, value in flat_fields(findings.recipe or {}):
        choice = chosen.get(_CHOSEN.get(name, ""))
        rows.append((name, f"{shown(choice)} (auto)" if value == "auto" and choice is not None else value))
    return rows


def _counts(
    counts: Mapping[str, Any], classes: Any, images: Mapping[str, int] | None
) -> list[tuple[str, tuple[int, ...]]]:
    """Return a row per class below that of all; `images` counts them where an image may be of several classes."""
    if images is not None:
        rows = [("all images", tuple(images.values()))] if images else []
    else:
        rows = [("all classes", tuple(sum(column) for column in counts.values()))] if counts else []
    return [*rows, *((str(name), tuple(column[at] for column in counts.values())) for at, name in enumerate(classes))]


def _data(data: Mapping[str, Any]) -> list[Fact]:
    facts = [("given", data.get("given")), ("location", data.get("location")), ("hash", data.get("hash"))]
    trained = data.get("trained_on", {})
    if trained.get("hash") not in (None, data.get("hash")):
        facts += [("trained on", trained.get("given")), ("hash of that", trained.get("hash"))]
    return [(name, str(value)) for name, value in facts if value]
