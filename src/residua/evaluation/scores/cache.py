"""Records kept between evaluations: files under the cache that are checked before they are believed.

A record is found by a hash of all that its scores depend on: weights, network, preprocessing, views, data (of files
also their sizes and times of change), part, policy for bad images, device and versions. Whatever is wrong with a file,
the pass is made again. Beyond 2 GiB in all, the records that were used longest ago go.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch

from residua import __version__
from residua._base.files import atomic_path, cache_root
from residua.data import decode as decoding
from residua.data.cache import key_of
from residua.data.dataset import BadPolicy, Split
from residua.evaluation.scores.scores import Record
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec, to_json
from residua.weights.bundle.bundle import hash_tensors

LIMIT_BYTES = 2 << 30
"""Records are removed, the least recently used first, until they are not larger together than this."""

_FORMAT = 1
_META = "record"


def scores_folder() -> Path:
    """Return $RESIDUA_CACHE/scores, or ~/.cache/residua/scores."""
    return cache_root() / "scores"


@dataclass(frozen=True)
class Place:
    """Where the record of one pass is kept.

    Attributes:
        path: its file.
        num_classes: what each of its rows holds.
    """

    path: Path
    num_classes: int

    def read(self, split: Split) -> Record | None:
        """Return the record of `split`, or None where there is none that is whole."""
        try:
            content = self.path.read_bytes()
            length = int.from_bytes(content[:8], "little")
            described = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][_META])
            tensors = safetensors.torch.load(content)
            if hash_tensors(tensors) != described["sha256"]:
                return None
            indices, scores = tensors["indices"].numpy(), tensors["scores"]
            skipped = {int(index): str(reason) for index, reason in described["skipped"].items()}
            whole = np.delete(np.arange(len(split)), sorted(skipped))
            if not np.array_equal(indices, whole) or scores.shape != (len(indices), self.num_classes):
                return None
            found = Record(
                views=str(described["views"]),
                scores=scores,
                labels=split.labels[indices],
                indices=indices,
                skipped=skipped,
                seconds=float(described["seconds"]),
                cached=True,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, safetensors.SafetensorError):
            return None
        with contextlib.suppress(OSError):
            os.utime(self.path)
        return found

    def write(self, record: Record) -> None:
        """Keep a record. A cache that cannot be written to keeps nothing, and nothing else suffers."""
        tensors = {"scores": record.scores.contiguous(), "indices": torch.from_numpy(record.indices).contiguous()}
        described: dict[str, Any] = {
            "sha256": hash_tensors(tensors),
            "views": record.views,
            "skipped": record.skipped,
            "seconds": record.seconds,
        }
        with contextlib.suppress(OSError, safetensors.SafetensorError):
            with atomic_path(self.path) as beside:
                safetensors.torch.save_file(tensors, beside, metadata={_META: json.dumps(described)})
            _tidy(self.path)


def place_of(
    model: torch.nn.Module,
    spec: Spec,
    split: Split,
    preprocess: PreprocessSpec,
    *,
    views: str,
    data_hash: str,
    device: torch.device,
    on_bad: BadPolicy,
) -> Place:
    """Return where the record of this pass is kept. The weights are hashed as they are now, not as they were saved."""
    labels = hashlib.sha256(split.labels.astype("<i8").tobytes()).hexdigest()
    if split.pixels is None:
        pixels = key_of(split.files or (), "files")
    else:
        pixels = hashlib.sha256(np.ascontiguousarray(split.pixels).data).hexdigest()
    depends = {
        "format": _FORMAT,
        "versions": [__version__, torch.__version__, decoding.VERSION],
        "weights": hash_tensors(model.state_dict()),
        "spec": to_json(spec),
        "preprocess": asdict(preprocess),
        "views": views,
        "data": [data_hash, split.name, len(split), labels, pixels],
        "on_bad": on_bad,
        "device": device.type,
    }
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
    return Place(scores_folder() / f"{digest[:40]}.safetensors", spec.num_classes)


def _tidy(mine: Path) -> None:
    files = []
    for file in mine.parent.glob("*.safetensors"):
        with contextlib.suppress(OSError):
            status = file.stat()
            files.append((status.st_mtime_ns, status.st_size, file))
    excess = sum(size for _, size, _ in files) - LIMIT_BYTES
    for _, size, file in sorted(files):
        if excess <= 0:
            break
        if file != mine:
            with contextlib.suppress(OSError):
                file.unlink()
                excess -= size
