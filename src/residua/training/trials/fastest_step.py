"""Which arithmetic trains a run fastest on this CPU: measured on its first batches, where it is long enough."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice

import torch

from residua._base.console import Display
from residua._base.errors import InputError
from residua._base.signals import StopRequest
from residua.data.loader import Batch
from residua.runtime.device import Hardware
from residua.runtime.distributed.group import ALONE, Group
from residua.runtime.native import multiplies_bf16
from residua.runtime.processor import processor
from residua.training.folder.arithmetic import Arithmetic, KernelsName
from residua.training.folder.checkpoint import list_checkpoints
from residua.training.plan import Plan
from residua.training.step.memory import is_exhausted
from residua.training.trainer import Trainer

SHARE = 0.02
"""The largest part of a run that its measurement may take: of its steps, and for compiling of its time."""
MARGIN = 1.05
"""Times the speed of what would be taken unmeasured: below it another choice stays out, and noise decides nothing."""
CLOSE_MARGIN = 1.02
"""The same after further turns, which two take that were close."""
_ROUNDS = 3  # turns of one step that are measured, after one that is not
_FURTHER_ROUNDS = 6  # of the usual choice and the fastest, where the second gains less than the following
_CLOSE = 1.15
_GROUPS = 4  # steps whose batches are kept, and used in turn
_COMPILING_SECONDS = 60.0  # what torch.compile takes for a residual network on two cores
_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def computing(plan: Plan, arithmetic: Arithmetic) -> Plan:
    """Return the plan of a run that computes in this way; on a GPU, which has no such choice, it changes nothing."""
    hardware = plan.hardware
    if hardware.device.type == "cpu" and plan.recipe.channels_last == "auto":
        hardware = replace(hardware, channels_last=arithmetic.channels_last)
        for loader in filter(None, (plan.train, plan.val, plan.sample)):
            loader.channels_last = arithmetic.channels_last
    return replace(plan, hardware=hardware, arithmetic=arithmetic)


def may_measure(plan: Plan, group: Group = ALONE) -> bool:
    """Return whether a run leaves a choice, is long enough to pay for measuring it, and has not begun."""
    recipe = plan.recipe
    free = recipe.kernels == "auto" and recipe.precision != "bf16" and not recipe.compile and not recipe.probe_views
    alone = group.count == 1  # the processes of one run must compute alike
    begun = bool(list_checkpoints(plan.checkpoints))
    steps = len(_first_candidates(plan, native=True)) * (_ROUNDS + 1)
    return plan.hardware.device.type == "cpu" and free and alone and not begun and steps <= SHARE * plan.total_steps


def fastest_step(plan: Plan, stop: StopRequest) -> Arithmetic | None:
    """Measure steps of a run in each arithmetic that it may take, and return the fastest.

    Native and eager kernels, each in fp32 and where the processor has such instructions in bf16, take turns on the
    run's first batches. Where eager kernels win, so does the other memory layout, and where the run is long,
    torch.compile. Networks and optimizers are copies; torch's generators are afterwards as they were.

    Returns:
        The choice; None where a signal came or memory is short, and the run takes what it would unmeasured.
    """
    with torch.random.fork_rng():
        try:
            return _fastest(plan, stop)
        except (MemoryError, RuntimeError) as error:
            if not is_exhausted(error):
                raise
            return None


class _TimedTrainer(Trainer):
    """A trainer on copies, whose losses count for nothing."""

    def read_losses(self, *, wait: bool = True) -> None:
        """Drop the losses: one that is not finite is no error here."""
        self._losses.take(wait=True)


def _fastest(plan: Plan, stop: StopRequest) -> Arithmetic | None:
    usual = _usual(plan)
    rates: dict[str, float] = {}
    served = usual.kernels == "native" or _serves(plan)
    best = _race(plan, _first_candidates(plan, native=served), usual, rates, stop)
    if best is None:
        return None
    if best.kernels == "eager" and plan.recipe.channels_last == "auto":
        other = replace(best, channels_last=not best.channels_last)
        best = _race(plan, [best, other], best, rates, stop)
    if best is not None and _pays_for_compiling(plan, rates[best.name]):
        try:
            best = _race(plan, [best, replace(best, kernels="compiled")], best, rates, stop)
        except (InputError, RuntimeError, OSError) as error:  # no compiler, or a network that it does not take
            if is_exhausted(error):
                raise
    if best is None:
        return None
    return replace(best, rates={name: round(rate, 1) for name, rate in rates.items()})


def _pays_for_compiling(plan: Plan, rate: float) -> bool:
    seconds = plan.total_steps * plan.recipe.batch_size * plan.recipe.accumulate_steps / rate
    return SHARE * seconds >= _COMPILING_SECONDS


def _usual(plan: Plan) -> Arithmetic:
    """Return what the run would take unmeasured."""
    trainer = _TimedTrainer(replace(plan, arithmetic=None), Display(False))
    kernels: KernelsName = "native" if trainer.kernels.name == "native" else "eager"
    return Arithmetic(kernels, trainer.hardware.bf16, trainer.hardware.channels_last, {})


def _serves(plan: Plan) -> bool:
    """Return whether the native kernels serve some part of the network, whatever the rules prefer to them."""
    native = Arithmetic("native", False, plan.hardware.channels_last, {})
    return _TimedTrainer(replace(plan, arithmetic=native), Display(False)).kernels.name == "native"


def _first_candidates(plan: Plan, *, native: bool) -> list[Arithmetic]:
    last = plan.hardware.channels_last
    fused = native and last
    precisions = [False, True] if plan.recipe.precision == "auto" and _BF16_FLAGS & processor().flags else [False]
    candidates = [
        Arithmetic("native", bf16, last, {}) for bf16 in precisions if fused and (not bf16 or multiplies_bf16())
    ]
    return candidates + [Arithmetic("eager", bf16, last, {}) for bf16 in precisions]


def _race(
    plan: Plan, candidates: Sequence[Arithmetic], usual: Arithmetic, rates: dict[str, float], stop: StopRequest
) -> Arithmetic | None:
    """Let the candidates take turns, note their rates, and return the winner; None where a signal came.

    The usual choice loses only to one that is faster by the margin in the median of the turns. Two steps of one turn
    met the same load. Where the two are close, they alone take further turns, if the run is long enough.
    """
    trainers = {
        each.name: _TimedTrainer(replace(plan, hardware=_laid_out(plan, each), arithmetic=each), Display(False))
        for each in candidates
    }
    groups = _groups(plan)
    seconds: dict[str, list[float]] = {name: [] for name in trainers}

    def take(turns: range, racing: Sequence[Arithmetic]) -> bool:
        """Let these take turns, of which the very first is not measured; return whether no signal came."""
        for turn in turns:
            for each in racing:
                if stop.signal:
                    return False
                trainer = trainers[each.name]
                group = [_with_layout(batch, trainer) for batch in groups[turn % len(groups)]]
                took = step_seconds(trainer, group)
                if turn:
                    seconds[each.name].append(took)
        return True

    first = range(_ROUNDS + 1)
    if not take(first, candidates):
        return None
    gains, margin = _gains(seconds, usual.name), MARGIN
    fastest = max(candidates, key=lambda each: gains[each.name])
    steps = len(candidates) * len(first) + 2 * _FURTHER_ROUNDS
    if 1 < gains[fastest.name] < _CLOSE and steps <= SHARE * plan.total_steps:
        if not take(range(len(first), len(first) + _FURTHER_ROUNDS), [usual, fastest]):
            return None
        gains, margin = _gains(seconds, usual.name), CLOSE_MARGIN
    images = plan.recipe.batch_size * plan.recipe.accumulate_steps
    # Rates follow from the gains, so that they rank as these do, also over several races.
    rate = rates.setdefault(usual.name, images / statistics.median(seconds[usual.name]))
    rates |= {name: rate * gain for name, gain in gains.items()}
    return fastest if gains[fastest.name] >= margin else usual


def _gains(seconds: Mapping[str, Sequence[float]], usual: str) -> dict[str, float]:
    """Return by how many times each was faster than the usual choice, in the median of the turns that it took."""
    return {
        name: statistics.median(theirs / own for theirs, own in zip(seconds[usual], values, strict=False))
        for name, values in seconds.items()
    }


def step_seconds(trainer: Trainer, group: list[Batch]) -> float:
    """Return the seconds of one step by the clock."""
    start = time.perf_counter()
    trainer.step(group)
    return time.perf_counter() - start


def _groups(plan: Plan) -> list[list[Batch]]:
    """Return the batches of some steps: of the first epoch, or where images grow, of the last one, which is largest."""
    epoch = plan.recipe.epochs - 1 if plan.recipe.begin_size else 0
    many = plan.recipe.accumulate_steps
    batches = list(islice(plan.train.epoch(epoch), min(_GROUPS, plan.steps_per_epoch) * many))
    return [batches[first : first + many] for first in range(0, len(batches), many)]


def _laid_out(plan: Plan, arithmetic: Arithmetic) -> Hardware:
    return replace(plan.hardware, channels_last=arithmetic.channels_last)


def _with_layout(batch: Batch, trainer: Trainer) -> Batch:
    return replace(batch, images=batch.images.contiguous(memory_format=trainer.plan.hardware.memory_format))
