"""Scores cached between evaluations, in files that are checked before they are believed.

A hash of everything that scores depend on finds them. It covers weights, network, preprocessing, views, part, policy
for bad images, engine, precision, device and versions. It covers the data too, of files also their sizes and times of
change. Where a file is damaged in any way, the pass is made again, and a warning states why. Beyond 2 GiB in total, the
least recently used go.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import safetensors
import safetensors.torch
import torch

from residua._base.cache import Cache
from residua._base.errors import Damaged
from residua._base.files import read_regular
from residua._base.json_file import parse_json
from residua._version import __version__
from residua.data import decode as decoding
from residua.data.dataset import Split
from residua.evaluation.scores.options import ScoreOptions
from residua.evaluation.scores.scores import Scores
from residua.runtime.engines.int8 import int8_digest
from residua.specs.fields import BadPolicy
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.bundle.value import hash_tensors

LIMIT_BYTES = 2 << 30
"""The least recently used entries are removed until their total size is at most this."""

_FORMAT = 2  # part of every key: raised when files change, so that older ones are not found


class _Header(TypedDict):
    sha256: str
    views: str
    skipped: dict[str, str]
    seconds: float


class _Metadata(TypedDict):
    scores: str


class _File(TypedDict):
    """The part of a safetensors header that is read here."""

    __metadata__: _Metadata


def score_cache() -> Cache:
    """Return the cache that scores stand in: one file per pass."""
    return Cache("scores", LIMIT_BYTES, ".safetensors", without="the network runs in every evaluation")


@dataclass(frozen=True)
class CacheEntry:
    """The place of the scores of one pass in the cache.

    Attributes:
        key: the hash of everything that they depend on.
        num_classes: K, the length of each row of logits.
    """

    key: str
    num_classes: int

    @property
    def path(self) -> Path:
        """The file."""
        return score_cache().path(self.key)

    def read(self, split: Split) -> Scores | None:
        """Return the scores of `split`, or None where the file is absent, damaged or does not fit."""
        return score_cache().read(self.key, lambda path: self._load(path, split))

    def write(self, scores: Scores) -> None:
        """Store scores. A cache that cannot be written to stores nothing, and the evaluation goes on."""
        tensors = {"logits": scores.logits.contiguous(), "indices": torch.from_numpy(scores.indices).contiguous()}
        header: _Header = {
            "sha256": hash_tensors(tensors),
            "views": scores.views,
            "skipped": {str(index): reason for index, reason in scores.skipped.items()},
            "seconds": scores.seconds,
        }
        metadata = {"scores": json.dumps(header)}

        def write(path: Path) -> None:
            path.write_bytes(safetensors.torch.save(tensors, metadata=metadata))

        score_cache().write(self.key, write)

    def _load(self, path: Path, split: Split) -> Scores:
        content = read_regular(path, LIMIT_BYTES)
        length = int.from_bytes(content[:8], "little")
        metadata = parse_json(content[8 : 8 + length], _File, path)["__metadata__"]
        header = parse_json(metadata["scores"], _Header, path)
        try:
            tensors = safetensors.torch.load(content)
            indices, logits = tensors["indices"].numpy(), tensors["logits"]
            skipped = {int(index): reason for index, reason in header["skipped"].items()}
            expected = np.delete(np.arange(len(split)), sorted(skipped))
        except (ValueError, KeyError, IndexError, TypeError, safetensors.SafetensorError) as error:
            raise Damaged(path, f"it holds no scores ({error})") from None
        if hash_tensors(tensors) != header["sha256"]:
            raise Damaged(path, "its tensors do not give the SHA-256 that was written with them")
        if not np.array_equal(indices, expected) or logits.shape != (len(expected), self.num_classes):
            raise Damaged(path, "its scores are of different images or classes")
        if indices.dtype != np.int64 or not logits.is_floating_point() or not torch.isfinite(logits).all():
            raise Damaged(path, "its scores are no finite numbers")
        return Scores(
            views=header["views"],
            logits=logits,
            labels=split.labels[indices],
            indices=indices,
            skipped=skipped,
            seconds=header["seconds"],
            cached=True,
        )


def cache_entry(
    model: torch.nn.Module,
    spec: Spec,
    split: Split,
    preprocess: PreprocessSpec,
    options: ScoreOptions,
    *,
    views: str,
    data_hash: str,
    on_bad: BadPolicy,
) -> CacheEntry:
    """Return the cache entry of a pass. The weights are hashed as they are now, not as they were saved."""
    labels = hashlib.sha256(split.labels.astype("<i8").tobytes()).hexdigest()
    depends_on = {
        "format": _FORMAT,
        "versions": [__version__, torch.__version__, decoding.VERSION],
        "weights": hash_tensors(model.state_dict()),
        "spec": spec.to_json(),
        "preprocess": preprocess.to_json(),
        "views": views,
        "data": [data_hash, split.name, len(split), labels, split.images.key()],
        "on_bad": on_bad,
        "device": options.where.type,
        "engine": options.engine,
        "precision": options.precision,
    }
    if options.precision == "int8":
        # Another export may have made another form of the same weights.
        size = (spec.in_channels, *preprocess.size)
        depends_on["int8"] = int8_digest(model, options.engine, size)
    digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
    return CacheEntry(digest[:40], spec.num_classes)
