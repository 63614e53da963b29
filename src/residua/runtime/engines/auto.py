"""The engine that is fastest here: measured once per machine, versions, network and batch, and kept."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
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
from residua.runtime.engines.names import ENGINES, EngineName, check_choice, check_engine
from residua.runtime.processor import processor

CANDIDATES: tuple[EngineName, ...] = ("native", "openvino", "onnxruntime")
"""Measured beside eager. torch.compile is not: it takes longer to open than the measurement may."""
MOST_IMAGES = 32
"""Images in a measured batch: more take longer, and no engine gains by them."""
LARGEST_ERROR = {"fp32": 1e-4, "bf16": 5e-2, "int8": math.inf}
"""Largest difference of logits from eager's in fp32, as a share of their largest, that counts as agreement."""

_ENOUGH_SECONDS = 0.5  # of one engine
_MOST_PASSES = 5  # the median of five is steady enough to choose by
_FORMAT = 3  # part of every key
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


def open_fastest(
    model: nn.Module,
    shape: tuple[int, int, int, int],
    *,
    precision: str = "fp32",
    device: torch.device | str | None = None,
) -> tuple[Engine, str]:
    """Open the fastest engine for batches of this shape; return it with a line that states why.

    Each engine must give eager's logits; of a form in int8 the gate of its export has seen to that. The choice is kept
    in the cache folder; a damaged one is measured again. What was measured just now is not opened twice.

    Args:
        model: (B, C, H, W) -> (B, K).
        shape: (B, C, H, W) of the caller's batches; at most `MOST_IMAGES` of a batch are measured.
        precision: "fp32", "bf16" or "int8".
        device: as `open_engine` takes it. On a GPU the choice is eager: the others compute on CPUs.

    Raises:
        InputError: an unknown precision, one that no engine has here, or a device that this machine does not have.
    """
    check_choice("auto", precision)
    where = pick_device(device)
    if where.type != "cpu":
        if precision == "int8":
            check_engine("eager", precision)
        sentence = "Engine eager: the other engines compute on CPUs"
        return open_engine(model, "eager", precision=precision, device=where), sentence
    shape = (min(shape[0], MOST_IMAGES), *shape[1:])
    cache = Cache("engines", 1 << 20, ".json", without="engines are measured in every run")
    key = _key(model, shape, precision)
    choice = cache.read(key, _read)
    if choice is not None:
        engine = open_engine(model, choice["engine"], precision=precision, device=where)
        return engine, _sentence(choice, "measured earlier")
    engine, choice = _measure(model, shape, precision)
    document = json.dumps(choice)
    cache.write(key, lambda path: _write(path, document))
    return engine, _sentence(choice, "measured now")


def _measure(model: nn.Module, shape: tuple[int, int, int, int], precision: str) -> tuple[Engine, Choice]:
    """Return the fastest engine, opened, and the measurement; each slower one is closed before the next is opened."""
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    eager = open_engine(model, "eager", device="cpu")
    want = eager(images)
    seconds: dict[str, float] = {}
    left_out: dict[str, str] = {}
    fastest: Engine | None = None
    if precision == "int8":
        # What the others are measured by; it has no int8.
        seconds["eager"] = _least(eager, images)
    del eager
    for name in CANDIDATES if precision == "int8" else ("eager", *CANDIDATES):
        try:
            engine = open_engine(model, name, precision=precision, device="cpu", shape=shape)
        except InputError as refusal:
            left_out[name] = refusal.given.removeprefix(f"engine={name!r} ")
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
            continue
        seconds[name] = _least(engine, images)
        if fastest is None or seconds[name] < seconds[fastest.name]:
            fastest = engine
        del engine
    if fastest is None:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InputError(
            f"precision={precision!r}, in which no engine computes here ({reasons})",
            "an engine that does",
            "Export the run once for OpenVINO with precision='int8', or use precision='fp32'",
        )
    choice = Choice(engine=fastest.name, seconds=seconds, left_out=left_out, batch=shape[0])
    return fastest, choice


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
