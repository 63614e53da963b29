"""Scores cached between evaluations, in files that are checked before they are believed.

A hash of everything that scores depend on finds them: weights, network, preprocessing, views, data (of files also their
sizes and times of change), part, policy for bad images, engine, precision, device and versions. Where a file is damaged
in any way, the pass is made again. Beyond 2 GiB in total, the least recently used files are removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import safetensors
import safetensors.torch
import torch

from residua._base.files import atomic_path, read_regular
from residua._base.json_file import parse_json
from residua._base.places import cache_root
from residua._version import __version__
from residua.data import decode as decoding
from residua.data.dataset import BadPolicy, Split
from residua.evaluation.scores.scores import Scores
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.bundle.value import hash_tensors

LIMIT_BYTES = 2 << 30
"""The least recently used entries are removed until their total size is at most this."""

_FORMAT = 2


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


def scores_folder() -> Path:
    """Return $RESIDUA_CACHE/scores, or ~/.cache/residua/scores."""
    return cache_root() / "scores"


@dataclass(frozen=True)
class CacheEntry:
    """The file that holds the scores of one pass.

    Attributes:
        path: the file.
        num_classes: K, the length of each row of logits.
    """

    path: Path
    num_classes: int

    def read(self, split: Split) -> Scores | None:
        """Return the scores of `split`, or None where the file is absent, damaged or does not fit."""
        try:
            content = read_regular(self.path, LIMIT_BYTES)
            length = int.from_bytes(content[:8], "little")
            metadata = parse_json(content[8 : 8 + length], _File, self.path)["__metadata__"]
            header = parse_json(metadata["scores"], _Header, self.path)
            tensors = safetensors.torch.load(content)
            if hash_tensors(tensors) != header["sha256"]:
                return None
            indices, logits = tensors["indices"].numpy(), tensors["logits"]
            skipped = {int(index): reason for index, reason in header["skipped"].items()}
            expected = np.delete(np.arange(len(split)), sorted(skipped))
        except (ValueError, KeyError, IndexError, TypeError, safetensors.SafetensorError):
            return None
        if not np.array_equal(indices, expected) or logits.shape != (len(expected), self.num_classes):
            return None
        if indices.dtype != np.int64 or not logits.is_floating_point() or not torch.isfinite(logits).all():
            return None
        found = Scores(
            views=header["views"],
            logits=logits,
            labels=split.labels[indices],
            indices=indices,
            skipped=skipped,
            seconds=header["seconds"],
            cached=True,
        )
        with contextlib.suppress(OSError):
            os.utime(self.path)
        return found

    def write(self, scores: Scores) -> None:
        """Store scores. A cache that cannot be written to stores nothing, and the evaluation goes on."""
        tensors = {"logits": scores.logits.contiguous(), "indices": torch.from_numpy(scores.indices).contiguous()}
        header: _Header = {
            "sha256": hash_tensors(tensors),
            "views": scores.views,
            "skipped": {str(index): reason for index, reason in scores.skipped.items()},
            "seconds": scores.seconds,
        }
        with contextlib.suppress(OSError, safetensors.SafetensorError):
            with atomic_path(self.path) as beside:
                safetensors.torch.save_file(tensors, beside, metadata={"scores": json.dumps(header)})
            _remove_oldest(self.path)


def cache_entry(
    model: torch.nn.Module,
    spec: Spec,
    split: Split,
    preprocess: PreprocessSpec,
    *,
    views: str,
    data_hash: str,
    device: torch.device,
    on_bad: BadPolicy,
    engine: str,
    precision: str,
) -> CacheEntry:
    """Return the cache entry of a pass. The weights are hashed as they are now, not as they were saved."""
    labels = hashlib.sha256(split.labels.astype("<i8").tobytes()).hexdigest()
    depends_on = {
        "format": _FORMAT,
        "versions": [__version__, torch.__version__, decoding.VERSION],
        "weights": hash_tensors(model.state_dict()),
        "spec": spec.to_json(),
        "preprocess": asdict(preprocess),
        "views": views,
        "data": [data_hash, split.name, len(split), labels, split.images.key()],
        "on_bad": on_bad,
        "device": device.type,
        "engine": engine,
        "precision": precision,
    }
    digest = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()
    return CacheEntry(scores_folder() / f"{digest[:40]}.safetensors", spec.num_classes)


def _remove_oldest(newest: Path) -> None:
    files = []
    for file in newest.parent.glob("*.safetensors"):
        with contextlib.suppress(OSError):
            status = file.stat()
            files.append((status.st_mtime_ns, status.st_size, file))
    excess = sum(size for _, size, _ in files) - LIMIT_BYTES
    for _, size, file in sorted(files):
        if excess <= 0:
            break
        if file != newest:
            with contextlib.suppress(OSError):
                file.unlink()
                excess -= size
