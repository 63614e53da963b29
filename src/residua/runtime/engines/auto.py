"""The engine that is fastest here: measured once per machine, versions, network and batch, and kept."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import time
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from residua._base.cache import Cache
from residua._base.errors import Damaged, InputError
from residua._base.json_file import read_json
from residua._version import __version__
from residua.runtime.device import pick_device
from residua.runtime.engines.engine import Engine, open_engine
from residua.runtime.engines.names import ENGINES, EngineName, check_engine
from residua.runtime.processor import processor

CANDIDATES: tuple[EngineName, ...] = ("openvino", "onnxruntime")
"""Measured beside eager. torch.compile is not: it takes longer to open than the measurement may."""
MOST_IMAGES = 32
"""Images in a measured batch: more take longer, and no engine gains by them."""
LARGEST_ERROR = {"fp32": 1e-4, "bf16": 5e-2}
"""Largest difference of logits from eager's in fp32, as a share of their largest, that counts as agreement."""

_ENOUGH_SECONDS = 0.5  # of one engine
_MOST_PASSES = 5  # the median of five is steady enough to choose by
_FORMAT = 1  # part of every key
_PACKAGES = ("torch", "openvino", "onnxruntime")


class Choice(TypedDict):
    """A measured choice.

    Attributes:
        engine: the fastest that agrees with eager.
        seconds: per batch, the least of some passes, of each engine that agrees.
        left_out: reasons by engine, of those that are not installed, refuse or disagree.
        batch: images in the measured batch.
    """

    engine: str
    seconds: dict[str, float]
    left_out: dict[str, str]
    batch: int


def choose_engine(
    model: nn.Module,
    shape: tuple[int, int, int, int],
    *,
    precision: str = "fp32",
    device: torch.device | str | None = None,
) -> tuple[EngineName, str]:
    """Return the fastest engine for batches of this shape, and a line that states why.

    Each engine must give eager's logits. The choice is kept in the cache folder; a damaged one is measured again.

    Args:
        model: (B, C, H, W) -> (B, K).
        shape: (B, C, H, W) of the caller's batches; at most `MOST_IMAGES` of a batch are measured.
        precision: "fp32" or "bf16".
        device: as `open_engine` takes it. On a GPU the choice is eager: the others compute on CPUs.

    Raises:
        InputError: an unknown precision, or a device that this machine does not have.
    """
    check_engine("eager", precision)
    where = pick_device(device)
    if where.type != "cpu":
        return "eager", "Engine eager: the other engines compute on CPUs"
    shape = (min(shape[0], MOST_IMAGES), *shape[1:])
    cache = Cache("engines", 1 << 20, ".json", without="engines are measured in every run")
    key = _key(model, shape, precision)
    choice, measured = cache.read(key, _read), "measured earlier"
    if choice is None:
        choice, measured = _measure(model, shape, precision), "measured now"
        document = json.dumps(choice)
        cache.write(key, lambda path: _write(path, document))
    engine: EngineName = choice["engine"]  # type: ignore[assignment]
    return engine, _sentence(choice, measured)


def _measure(model: nn.Module, shape: tuple[int, int, int, int], precision: str) -> Choice:
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    want = open_engine(model, "eager", device="cpu")(images)
    seconds: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for name in ("eager", *CANDIDATES):
        try:
            engine = open_engine(model, name, precision=precision, device="cpu", shape=shape)
        except InputError as refusal:
            left_out[name] = refusal.given
            continue
        except RuntimeError as failure:
            if name == "eager":
                raise
            # A runtime that cannot convert this network must not take eager's answer away.
            left_out[name] = f"it cannot be opened: {str(failure).partition(chr(10))[0]}"
            continue
        error = float((engine(images) - want).abs().max() / want.abs().max())
        if name != "eager" and not error <= LARGEST_ERROR[precision]:
            left_out[name] = f"its logits differ from eager's by {error:.1e} of the largest"
        else:
            seconds[name] = _least(engine, images)
    return Choice(engine=min(seconds, key=seconds.__getitem__), seconds=seconds, left_out=left_out, batch=shape[0])


def _least(engine: Engine, images: Tensor) -> float:
    times: list[float] = []
    while len(times) < _MOST_PASSES and sum(times) < _ENOUGH_SECONDS:
        start = time.perf_counter()
        engine(images)
        times.append(time.perf_counter() - start)
    return min(times)


def _sentence(choice: Choice, measured: str) -> str:
    seconds, eager = choice["seconds"], choice["seconds"]["eager"]
    ratios = [f"{name} {eager / own:.2f}" for name, own in sorted(seconds.items(), key=lambda item: item[1])]
    reasons = [f"{name} left out ({reason})" for name, reason in choice["left_out"].items()]
    return (
        f"Engine {choice['engine']}: times eager's speed at batch {choice['batch']}, {measured}: "
        f"{', '.join([*ratios, *reasons])}"
    )


def _key(model: nn.Module, shape: tuple[int, int, int, int], precision: str) -> str:
    """Return the hash of all that decides speed: values of weights do not."""
    tensors = {name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in model.state_dict().items()}
    machine = (processor().name, sorted(processor().flags), os.cpu_count(), torch.get_num_threads())
    versions = [__version__, *(_version(name) for name in _PACKAGES)]
    known: list[Any] = [_FORMAT, repr(getattr(model, "spec", type(model))), tensors, machine, versions]
    return hashlib.sha256(repr([*known, shape, precision]).encode()).hexdigest()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _read(path: Path) -> Choice:
    choice = read_json(path, Choice)
    if choice["engine"] not in ENGINES or not {"eager", choice["engine"]} <= set(choice["seconds"]):
        raise Damaged(path, f"it names no measured engine: {choice['engine']!r}")
    if min(choice["seconds"].values()) <= 0:
        raise Damaged(path, "it holds a time of 0 seconds or less")
    return choice


def _write(path: Path, document: str) -> None:
    path.write_text(document, encoding="utf-8")
