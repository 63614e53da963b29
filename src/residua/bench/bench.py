"""`bench`: networks timed beside their peers, taking turns in one process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import torch

from residua._base.errors import InputError, nearest
from residua._base.words import some
from residua.bench.case import PEERS, Case, Kernels, Mode, Source, Way, groups, ways
from residua.bench.memory import PeakMemory, advice_on_memory
from residua.bench.peers import has_peer, peer_step_of, require, spec_beside
from residua.bench.report import BenchReport, Beside, Ratio, Result
from residua.bench.steps import INT8, Step, flops_of, our_step, use_threads
from residua.bench.timing import Timing, clocked
from residua.bench.yardsticks import Yardstick, key_of
from residua.families.build import spec_of
from residua.families.sizes import check_input
from residua.runtime.device import pick_device
from residua.runtime.engines.names import EngineName, Precision
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
    engine: EngineName | Sequence[EngineName] = "eager",
    kernels: Kernels | Sequence[Kernels] = "eager",
    precision: Precision | Sequence[Precision] = "fp32",
    peer: Source | Sequence[Source] = (),
    edits: Sequence[str] | Mapping[str, Any] = (),
    batches: int = 100,
    warm_up: int = 10,
    threads: int | Sequence[int] = 0,
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
        engine: "eager", "compiled" (torch.compile), or to infer on CPUs "native", "onnxruntime", "openvino".
        kernels: "eager" (torch's own) or "native" (fused CPU kernels, for training in fp32 with the engine "eager").
        precision: "fp32", "bf16" (torch: by autocast) or "int8" (OpenVINO and ONNX Runtime, calibrated on noise: a
            speed alone). Of several engines and precisions, those that go together.
        peer: "torchvision", "timm", "keras": their network of the same structure, if they have it.
        edits: of the networks' specs: {"shortcut": "none"}, or words such as "shortcut=none".
        batches: measured steps per case.
        warm_up: steps before them.
        threads: of the CPU; 0 for torch's own choice. Several counts take turns too.
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
    numbers = [("batches", batches, 1), ("warm_up", warm_up, 0), *(("threads", each, 0) for each in _several(threads))]
    for name, value, least in numbers:
        checked(name, value, Annotated[int, Span(least, _MOST[name])], f"Leave out {name}=…")
    lists: dict[str, object] = {"batch": batch, "resolution": resolution, "precision": precision}
    lists |= {"engine": engine, "kernels": kernels, "threads": threads}
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
    cases = groups(models, sizes, wanted_batches, mode, taken, _several(precision), beside, _several(threads))
    notes = [f"{name}: {other} has no such network" for name in models for other in peers if other not in beside[name]]
    if edits:
        notes.append(f"Networks edited: {', '.join(edits if not isinstance(edits, Mapping) else edit_words(edits))}")
    if any(case.precision == "int8" for group in cases for case in group):
        notes.append(INT8)
    if len(_several(threads)) > 1 and any(case.source == "keras" for group in cases for case in group):
        raise InputError("peer 'keras' with several threads", "one number of threads beside Keras", "Give one")
    total, done = sum(len(group) for group in cases) * (batches + warm_up), 0
    results: list[Result] = []

    def advance() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    with _threads_kept():
        for group in cases:
            with advice_on_memory(group[0]):
                results += _measure(group, specs, where, batches, warm_up, advance, on_step)
        return BenchReport(tuple(results), dict(environment(where)), warm_up, tuple(notes))


def _edited(spec: Spec, edits: Sequence[str] | Mapping[str, Any]) -> Spec:
    return spec.edit(**(edits if isinstance(edits, Mapping) else read_edits(spec, edits)))


def _measure(
    group: list[Case],
    specs: Mapping[str, Spec],
    device: torch.device,
    batches: int,
    warm_up: int,
    advance: Callable[[], None],
    on_step: Callable[[Case, int, float], None] | None,
) -> list[Result]:
    """Build the cases of a group, warm them up, and alternate their steps."""
    steps: list[Step] = []
    peaks: list[int | None] = []
    spec = specs[group[0].model]
    if group[-1].source != "residua":
        spec = spec_beside(spec, group[-1].source)
    yardsticks: dict[tuple[str, str, int], Yardstick] = {}
    for case in group:
        use_threads(case.threads)
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
        if key_of(case) not in yardsticks:
            yardsticks[key_of(case)] = Yardstick(case, device)
    times: list[list[float]] = [[] for _ in group]
    for number in range(batches):
        if number % max(1, batches // _SAMPLES_OF_THE_YARDSTICK) == 0:
            for (_, _, threads), yardstick in yardsticks.items():
                use_threads(threads)
                yardstick.measure()
        # The first case would always follow the same other case, so the order rotates.
        for index in range(len(group)) if number % 2 else reversed(range(len(group))):
            use_threads(group[index].threads)
            times[index].append(clocked(steps[index], device))
            if on_step:
                on_step(group[index], number, times[index][-1])
            advance()
    flops = flops_of(group[0], spec)
    results = [
        Result(case, Timing(tuple(seconds)), flops, peak, yardsticks[key_of(case)].rate)
        for case, seconds, peak in zip(group, times, peaks, strict=True)
    ]
    return [_compared(result, results) for result in results]


def _compared(result: Result, results: Sequence[Result]) -> Result:
    """Pair a peer with our nearest case, and ours with the peer's first case, both on as many threads.

    The nearest case has the peer's engine, kernels and precision; else it is our first.
    """
    beside = [other for other in results if other.case.threads == result.case.threads]
    if result.case.source == "residua":
        peer = next((other for other in beside if other.case.source != "residua"), None)
        return replace(result, beside=None if peer is None else Beside.of(result, peer))
    ours = [other for other in beside if other.case.source == "residua"]
    same = [other for other in ours if _way(other) == _way(result)]
    alike = [other for other in same if other.case.precision == result.case.precision]
    return replace(result, ratio=Ratio.of((alike or same or ours)[0].timing, result.timing))


def _way(result: Result) -> Way:
    return result.case.engine, result.case.kernels


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
def _threads_kept() -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
