"""Tiny studies, and results that were never measured, for tests of what is concluded of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from residua.studies.study import Arm, Result, Results

TINY: dict[str, Any] = {
    "epochs": 2,
    "train_images": 200,
    "batch_size": 50,
    "image_size": 8,
    "val_fraction": 0.1,
    "workers": 1,
    "kernels": "eager",
    "device": "cpu",
}


def result(arm: Arm, seed: int = 0, *, test: float = 0.3, train: float | None = 0.2, **fields: Any) -> Result:
    """A result with these errors."""
    known: dict[str, Any] = {
        "arm": arm.label,
        "seed": seed,
        "group": arm.group,
        "x": arm.x,
        "params": 1000,
        "macs": 2000,
        "test_error": test,
        "test_count": 1000,
        "train_error": train,
        "train_count": 1000,
        "history": [{"epoch": n, "val_top1": 0.3 * n, "train_top1": 0.4 * n, "seconds": 1.0} for n in (1, 2)],
        "measured": {},
        "minutes": 1.5,
        "weights_sha256": "0" * 64,
        "environment": {"residua": "0.1.0", "torch": "2.14.1", "date": f"2026-01-0{seed + 1} 10:00 UTC"},
    }
    return Result(**(known | fields))


def results(arms: Sequence[Arm], found: Sequence[Result], *, quick: bool = True, classes: int = 10) -> Results:
    """Results of a grid."""
    return Results(tuple(arms), tuple(found), quick, classes)


def hashes(folder: Path) -> dict[str, str]:
    """The bytes' times of every bundle of a study: whether one was written again."""
    return {path.parent.name: str(path.stat().st_mtime_ns) for path in sorted(folder.glob("runs/*/model.safetensors"))}
