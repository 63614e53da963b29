"""Queries with the images most like them, as one offline page."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment

from residua._base.files import write_text
from residua._version import __version__
from residua.data.decode import BadImage
from residua.figures import pages
from residua.figures.pictures import thumbnail_uri
from residua.inference.embedding.similar import Comparison
from residua.inference.stream import prepared
from residua.specs.preprocess import PreprocessSpec
from residua.weights.run import Run


@dataclass(frozen=True)
class _Picture:
    path: str
    picture: str
    cosine: str


@dataclass(frozen=True)
class _Query:
    name: str
    path: str
    picture: str
    neighbours: tuple[_Picture, ...]


def write_similar_page(path: Path, run: Run, comparison: Comparison) -> None:
    """Write the page: each query, and the images most like it as the network sees them."""
    spec = run.preprocess_spec
    queries = [
        _Query(
            Path(each.path).name,
            each.path,
            _picture(each.path, spec),
            tuple(_Picture(near.path, _picture(near.path, spec), f"{near.cosine:.4f}") for near in each.neighbours),
        )
        for each in comparison.queries
    ]
    text = (
        _templates()
        .get_template("similar.html.j2")
        .render(
            title=shlex.join([query.name for query in queries[:3]]),
            run=run.folder.resolve().name,
            network=run.spec.name,
            point=comparison.point,
            comparison=comparison,
            queries=queries,
            pixelated=max(spec.size) <= 64,
            version=__version__,
        )
    )
    write_text(path, text)


def _picture(path: str, spec: PreprocessSpec) -> str:
    """Return a thumbnail, "" where the file is gone meanwhile."""
    try:
        return thumbnail_uri(prepared(Path(path), spec))
    except BadImage:
        return ""


@cache
def _templates() -> Environment:
    templates = pages.environment("residua.inference")
    templates.globals["number"] = lambda value: f"{value:,}"
    return templates
