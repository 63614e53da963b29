"""`bench`: networks timed beside their peers, taking turns in one process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import torch

from residua._base.errors import InputError, nearest
from residua._base.words import some
from residua.bench.case import PEERS, Case, EngineWord, Kernels, Mode, Source, Way, groups, ways
from residua.bench.memory import PeakMemory, advice_on_memory
from residua.bench.peers import has_peer, peer_step_of, require, spec_beside
from residua.bench.report import BenchReport, Ratio, Result
from residua.bench.steps import Step, flops_of, our_step
from residua.bench.timing import MatrixProduct, Timing, clocked
from residua.families.build import spec_of
from residua.families.sizes import check_input
from residua.runtime.device import pick_device
from residua.runtime.engines.names import Precision
from residua.runtime.environment import environment
from residua.specs.edit_text import edit_words, read_edits
from residua.specs.fields import Span, checked
from residua.specs.schema import Spec
from residua.weights.peers.same_network import PEER_NETWORKS

T = TypeVar("T")

_SAMPLES_OF_THE_YARDSTICK = 10  # enough for a spread, at a few per cent of the time
_MOST = {"batches": 1_000_000, "warm_up": 1_000_000, "threads": 1024, "batch": 1_000_000}


def bench(
    *models: str,
    batch: int | Sequence[int] = 32,
    resolution: int | Sequence[int] = 0,
    mode: Mode = "forward",
    engine: EngineWord | Sequence[EngineWord] = "eager",
    kernels: Kernels | Sequence[Kernels] = "eager",
    precision: Precision | Sequence[Precision] = "fp32",
    peer: Source | Sequence[Source] = (),
    edits: Sequence[str] | Mapping[str, Any] = (),
    batches: int = 100,
    warm_up: int = 10,
    threads: int = 0,
    device: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    on_step: Callable[[Case, int, float], None] | None = None,
) -> BenchReport:
    """Time networks on batches of noise; ours and the peers' alternate, step by step.

    Args:
        models: names of the catalog; duplicates, here and below, are measured once.
        batch: images per step; several sizes are measured one after the other.
        resolution: side of the images, pixels; 0 for each network's own.
        mode: "forward" (evaluation mode, no gradients) or "train" (forward, loss, backward, SGD step).
        engine: "eager", "compiled" (torch.compile), or for mode "forward" on CPUs "onnxruntime" or "openvino".
        kernels: "eager" (torch's own) or "native" (fused CPU kernels, for training in fp32 with the engine "eager").
        precision: "fp32", or "bf16" by autocast.
        peer: "torchvision", "timm", "keras": their network of the same structure, if they have it.
        edits: of the networks' specs: {"shortcut": "none"}, or words such as "shortcut=none".
        batches: measured steps per case.
        warm_up: steps before them.
        threads: of the CPU; 0 for torch's own choice.
        device: "cpu", "cuda" or "cuda:N"; None for the GPU where there is one.
        progress: called with (steps done, steps in all).
        on_step: called behind each measured step with its case, its number from 0 on, and its seconds.

    Raises:
        InputError: unknown names, sizes that a network does not take, no network at all, a peer that is not installed
            or has none of the networks.
    """
    models = _several(models)
    if not models:
        raise InputError("no network", "one or several names", "For example: residua bench resnet50")
    for name, value, least in (("batches", batches, 1), ("warm_up", warm_up, 0), ("threads", threads, 0)):
        checked(name, value, Annotated[int, Span(least, _MOST[name])], f"Leave out {name}=…")
    lists: dict[str, object] = {"batch": batch, "resolution": resolution, "precision": precision}
    lists |= {"engine": engine, "kernels": kernels}
    for name, values in lists.items():
        if isinstance(values, Sequence) and not values:
            raise InputError(f"no {name}", f"one or several values of {name}", f"Leave out {name}=…")
    taken = ways(_several(engine), _several(kernels))
    where = pick_device(device)
    # The spec's name is ours, where another library's was given.
    specs = {spec.name: _edited(spec, edits) for spec in map(spec_of, models)}
    models = tuple(specs)
    for spec in specs.values() if mode == "train" else ():
        spec.require_logits("a training step")
    sizes: dict[str, tuple[int, ...]] = {
        name: _several([side or specs[name].input_size for side in _several(resolution)]) for name in models
    }
    wanted_batches = _several(batch)
    least = 2 if mode == "train" else 1
    for size in wanted_batches:
        checked("batch", size, Annotated[int, Span(least, _MOST["batch"])], "Use batch=32")
    for side in _several(resolution):
        if side < 0:
            raise InputError(f"resolution={side}", "a side of at least 1 pixel", "Leave out resolution=…")
    for name, spec in specs.items():
        for side in sizes[name]:
            check_input(spec, side, "resolution")
    if edits and _several(peer):
        raise InputError("peer=… with edits", "networks as the peers have them", "Leave out peer=…, or the edits")
    peers = _peers(_several(peer), models)
    beside = {name: tuple(other for other in peers if has_peer(name, other)) for name in models}
    cases = groups(models, sizes, wanted_batches, mode, taken, _several(precision), beside)
    notes = [f"{name}: {other} has no such network" for name in models for other in peers if other not in beside[name]]
    if edits:
        notes.append(f"Networks edited: {', '.join(edits if not isinstance(edits, Mapping) else edit_words(edits))}")
    total, done = sum(len(group) for group in cases) * (batches + warm_up), 0
    results: list[Result] = []

    def advance() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    with _threads(threads):
        for group in cases:
            spec = specs[group[0].model]
            if group[-1].source != "residua":
                spec = spec_beside(spec, group[-1].source)
            with advice_on_memory(group[0]):
                results += _measure(group, spec, where, batches, warm_up, advance, on_step)
        return BenchReport(tuple(results), dict(environment(where)), warm_up, tuple(notes))


def _edited(spec: Spec, edits: Sequence[str] | Mapping[str, Any]) -> Spec:
    return spec.edit(**(edits if isinstance(edits, Mapping) else read_edits(spec, edits)))


def _measure(
    group: list[Case],
    spec: Spec,
    device: torch.device,
    batches: int,
    warm_up: int,
    advance: Callable[[], None],
    on_step: Callable[[Case, int, float], None] | None,
) -> list[Result]:
    """Build the cases of a group, warm them up, and alternate their steps."""
    steps: list[Step] = []
    peaks: list[int | None] = []
    for case in group:
        memory = PeakMemory(device)
        step = our_step(case, spec, device) if case.source == "residua" else peer_step_of(case, spec, device)
        step()
        if case.mode == "train":
            step()  # the first step creates the optimizer's buffers after its own peak
        peaks.append(memory.read())
        for _ in range(warm_up):
            step()
            advance()
        steps.append(step)
    yardstick = MatrixProduct(device, group[0].precision)
    times: list[list[float]] = [[] for _ in group]
    for number in range(batches):
        if number % max(1, batches // _SAMPLES_OF_THE_YARDSTICK) == 0:
            yardstick.measure()
        # The first case would always follow the same other case, so the order rotates.
        for index in range(len(group)) if number % 2 else reversed(range(len(group))):
            times[index].append(clocked(steps[index], device))
            if on_step:
                on_step(group[index], number, times[index][-1])
            advance()
    flops = flops_of(group[0], spec)
    results = [
        Result(case, Timing(tuple(seconds)), flops, peak, yardstick.rate)
        for case, seconds, peak in zip(group, times, peaks, strict=True)
    ]
    ours = {_way(result): result for result in results if result.case.source == "residua"}
    return [_compared(result, ours) for result in results]


def _way(result: Result) -> Way:
    return result.case.engine, result.case.kernels


def _compared(result: Result, ours: dict[Way, Result]) -> Result:
    """Pair a peer with our case of the same engine and kernels, or else with our first."""
    if result.case.source == "residua":
        return result
    own = ours.get(_way(result)) or next(iter(ours.values()))
    return replace(result, ratio=Ratio.of(own.timing, result.timing))


def _several(value: T | Iterable[T]) -> tuple[T, ...]:
    """Return one or several values as a tuple without duplicates."""
    return (value,) if isinstance(value, int | str) else tuple(dict.fromkeys(value))  # type: ignore[arg-type]


def _peers(names: tuple[Source, ...], models: Sequence[str]) -> tuple[Source, ...]:
    for name in names:
        if name not in PEERS:
            raise InputError(f"peer {name!r}", f"one of {', '.join(PEERS)}", "For example peer='torchvision'")
        if not any(has_peer(model, name) for model in models):
            others = [other for other in PEERS if any(has_peer(model, other) for model in models)]
            near = dict.fromkeys(near for model in models for near in nearest(model, PEER_NETWORKS[name]))
            raise InputError(
                f"peer {name!r} for {', '.join(models)}",
                f"a library that has one of these networks: {', '.join(others)}"
                if others
                else f"networks that {name} has, such as {some(near or PEER_NETWORKS[name], 6)}; "
                "no known library has these",
                "Leave out peer=…, or name a different one",
            )
        require(name)
    return names


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
