"""Kill a training run with SIGKILL, resume it, and look at what it leaves."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

# Everything that a checkpoint has to hold is in use: momentum, average, best weights, plateau, soft labels, clipping.
RECIPE: dict[str, Any] = {
    "recipe": "fast",
    "epochs": 3,
    "batch_size": 64,
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "ema_decay": 0.9,
    "keep": "best",
    "clip_norm": 1.0,
    "mixup": 0.2,
    "plateau_factor": 0.5,
    "plateau_patience": 1,
    "checkpoint_every_steps": 4,
    "keep_checkpoints": 2,
    "image_size": 16,
    "workers": 1,
    "kernels": "eager",
}
STEPS = 60  # optimizer steps of that recipe: 3 epochs of 20 batches
_SERVER = multiprocessing.get_context("forkserver")
# Each run is a process of its own; only the imports are shared, which saves seconds a kill.
_SERVER.set_forkserver_preload(["residua.training.loop", "residua.evaluation.report.page"])


@dataclass(frozen=True)
class Kill:
    """One kill: when it came, and what stood on the disk then.

    Attributes:
        run: number of the run that it hit.
        seconds: after the process was started.
        phase: what the run was doing, as far as its folder shows.
        step: of the newest checkpoint that was left; None when there was none.
    """

    run: int
    seconds: float
    phase: str
    step: int | None


def start(folder: Path, model: str = "cifar_resnet8", threads: int = 1, **changes: Any) -> BaseProcess:
    """Start (or, where a run was started, resume) training into `folder` in a process of its own."""
    process = _SERVER.Process(target=_work, args=(str(folder), model, threads, {**RECIPE, **changes}))
    process.start()
    return process


def train_undisturbed(folder: Path, **changes: Any) -> tuple[str, float]:
    """Train to the end; return the weights' SHA-256 and the seconds it took."""
    started = time.monotonic()
    process = start(folder, **changes)
    process.join()
    assert process.exitcode == 0, f"the undisturbed run ended with {process.exitcode}"
    return digest(folder), time.monotonic() - started


def kill_until_done(
    folder: Path, number: int, chance: random.Random, longest: float, aims: Sequence[str], **changes: Any
) -> list[Kill]:
    """Train into `folder`, killing and resuming, a kill for each of `aims`; then let it end. Return the kills.

    Args:
        longest: upper limit of the random delays, seconds.
        aims: "any" kills after the delay; "writing" then waits for a file that is being written, so that the kill
            tears it; "end" waits until training has ended, then up to half a second into evaluation and bundle.
    """
    kills: list[Kill] = []
    for aim in aims:
        process = start(folder, **changes)
        began = time.monotonic()
        if aim != "end":
            process.join(chance.uniform(0, longest))
        awaited = {"any": lambda _: True, "writing": _half_written, "end": _trained}[aim]
        while process.is_alive() and not awaited(folder):
            time.sleep(0.0002)
        if aim == "end":
            process.join(chance.uniform(0, 0.5))
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        newest = max(folder.glob("checkpoints/step-*.safetensors"), default=None)
        step = int(newest.stem.removeprefix("step-")) if newest else None
        kills.append(Kill(number, round(time.monotonic() - began, 3), _phase(folder), step))
    else:
        process = start(folder, **changes)
        process.join()
    assert process.exitcode == 0, f"run {number} ended with {process.exitcode}"
    return kills


def digest(folder: Path) -> str:
    """SHA-256 of the run's model.safetensors: weights and everything in its header."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def _half_written(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return [*folder.glob(".*.part"), *folder.glob("checkpoints/.*.part")]
    return []


def _trained(folder: Path) -> bool:
    return (folder / "checkpoints" / f"step-{STEPS:010d}.safetensors").exists()


def _phase(folder: Path) -> str:
    torn = {part.name.split(".")[1] for part in _half_written(folder)}
    if any(name.startswith("step-") for name in torn):
        return "writing a checkpoint"
    if (folder / "report.html").exists() and not any(folder.glob("checkpoints/step-*")):
        return "finished"
    if torn:
        return f"writing {min(torn)}"
    if _trained(folder):
        return "evaluating and writing the bundle"
    if any(folder.glob("checkpoints/step-*")):
        return "training, or starting to resume"
    begun = (folder / "recipe.toml").exists()
    return "training before the first checkpoint" if begun else "opening the data"


def _work(folder: str, model: str, threads: int, recipe: dict[str, Any]) -> None:
    import torch

    from residua.training.loop import train

    torch.set_num_threads(threads)
    resume = (Path(folder) / "checkpoints" / "origin.json").exists()
    train("digits", model, out=folder, resume=resume, progress=False, **recipe)


def fresh(folder: Path) -> Path:
    """Return the folder, emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder
