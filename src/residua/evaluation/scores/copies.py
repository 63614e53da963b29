"""Scored images that a run was trained on, wherever they lie now: found by the hash of their bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from residua._base.errors import Damaged, InputError
from residua._base.public import is_address
from residua._base.run_files import ENSEMBLE_FILE, IMAGE_DIGESTS
from residua.data.dataset import EMBEDDED, Dataset, Split
from residua.data.decode.workers import default_workers
from residua.data.decoded.cache import contents
from residua.data.decoded.image_digests import BYTES, ImageDigests, file_names, read_digests
from residua.data.open import reopen
from residua.evaluation.run_data import recorded_data
from residua.weights.run import Run


@dataclass(frozen=True)
class Copies:
    """How many of the scored images a run's own data holds, byte for byte.

    Attributes:
        count: of them.
        learnt: whether these are known to be images that the run was trained on; else they may be of another part.
    """

    count: int
    learnt: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the count under what it is of."""
        return {"trained_on" if self.learnt else "in_its_data": self.count}


def count_copies(run: Run, dataset: Dataset, part: Split) -> Copies | str:
    """Return how many images of a part the run was trained on, or why that is not known; "" where it needs no check.

    A run folder keeps the digests of its images for a resumption. Where its data still lies in its place, the parts
    are drawn as they were, and only images of the training part count. Else all do, which the result states. The files
    to score are read once; neither their pixels nor those of the training data are needed.

    Args:
        run: the run.
        dataset: of the images to score.
        part: of it.
    """
    own = dataset.hash == run.data.get("hash")
    if own and (part.name == "train" or part.images.pixels is not None):
        return ""
    if part.images.pixels is not None:
        return f"{dataset.given} consists of pixels, not of files"
    if getattr(part.images, "large", False):
        return f"{dataset.given} is too large to hash each image"
    try:
        stored = read_digests(run.folder / IMAGE_DIGESTS)
    except Damaged:
        return f"its record of them, {IMAGE_DIGESTS}, is damaged"
    if stored is None:
        return _without_digests(run)
    scored = [row.tobytes()[:BYTES].hex() for row in contents(part.images, default_workers()) if row.any()]
    known = {row.tobytes().hex() for row in stored.digests if row.any()}
    anywhere = sum(digest in known for digest in scored)
    if not anywhere:
        return Copies(0, learnt=True)
    learnt = _training_digests(run, dataset if own else None, stored)
    if learnt is None:
        return "its record lacks some of its images" if own else Copies(anywhere, learnt=False)
    return Copies(sum(digest in learnt for digest in scored), learnt=True)


def _without_digests(run: Run) -> str:
    """Return why a run has no digests of its images."""
    if "hash" not in run.data:
        return "it does not record what it was trained on"
    if (run.folder.parent / ENSEMBLE_FILE).is_file():
        return "the members of an ensemble's folder keep no hashes of their images; the runs themselves do"
    if str(run.data.get("given")) in EMBEDDED:
        return "its training data consists of pixels, not of files"
    if is_address(str(run.data.get("given"))):
        return "its training data lies behind an address, and has a hash per shard, not per image"
    return f"its folder has no {IMAGE_DIGESTS} with the hashes of its images"


def _training_digests(run: Run, own: Dataset | None, stored: ImageDigests) -> set[str] | None:
    """Return the digests of the images that a run was trained on; None where its data is gone or has changed."""
    described: Mapping[str, Any] = recorded_data(run)
    try:
        dataset = reopen(described) if own is None else own
    except (InputError, KeyError):
        return None
    by_name = {name: row.tobytes().hex() for name, row in zip(stored.names, stored.digests, strict=True)}
    names = [name for (split, _), name in file_names(dataset).items() if split == "train"]
    return None if set(names) - set(by_name) else {by_name[name] for name in names}
