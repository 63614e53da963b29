"""What a network sees as alike: the training images nearest to the worst mistakes, and a map of the images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup


@dataclass(frozen=True)
class TrainingImage:
    """A training image like a mistake.

    Attributes:
        path: its name; see `Dataset.image_name`.
        label: its class.
        cosine: of the two images' features, -1 to 1.
        thumbnail: a data URI; "" where it was not drawn.
    """

    path: str
    label: str
    cosine: float
    thumbnail: str = field(default="", repr=False)


@dataclass(frozen=True)
class MistakeNeighbours:
    """A mistake and the training images most like it.

    Attributes:
        path: as in the list of mistakes.
        true: its class.
        predicted: the class that the network gave it.
        thumbnail: a data URI.
        neighbours: the most alike first.
    """

    path: str
    true: str
    predicted: str
    neighbours: tuple[TrainingImage, ...]
    thumbnail: str = field(default="", repr=False)


@dataclass(frozen=True)
class Likeness:
    """What the network's features hold to be alike.

    Attributes:
        mistakes: the worst first.
        compared: training images that were compared.
        training: training images that there are.
        projection: "pca" or "umap".
        mapped: images on the map.
        variance: the share of the features' variance that the map shows; None for "umap".
        figure: the map, an SVG element.
    """

    mistakes: tuple[MistakeNeighbours, ...]
    compared: int
    training: int
    projection: str
    mapped: int
    variance: float | None
    figure: Markup = field(default=Markup(""), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, without pictures."""
        names = ("compared", "training", "projection", "mapped", "variance")
        rows = [
            {
                **{name: getattr(each, name) for name in ("path", "true", "predicted")},
                "neighbours": [{"path": n.path, "label": n.label, "cosine": n.cosine} for n in each.neighbours],
            }
            for each in self.mistakes
        ]
        return {"mistakes": rows, **{name: getattr(self, name) for name in names}}
