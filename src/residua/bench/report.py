"""The report of a benchmark: numbers with their spread, as text, JSON and a chart."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import Any

from residua.bench.case import Case
from residua.bench.timing import Timing


@dataclass(frozen=True)
class Ratio:
    """How many times as fast ours is as a peer, from steps that were neighbours in time.

    Attributes:
        median: of the ratios of single steps, the peer's seconds over ours.
        low: their 5% quantile.
        high: their 95% quantile.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, ours: Timing, peer: Timing) -> Ratio:
        """Compare two timings step by step."""
        single = sorted(theirs / own for own, theirs in zip(ours.seconds, peer.seconds, strict=True))
        last = len(single) - 1
        return cls(statistics.median(single), single[round(0.05 * last)], single[round(0.95 * last)])


@dataclass(frozen=True)
class Beside:
    """How many times as fast a case of ours is as a peer.

    Attributes:
        peer: the library.
        way: the peer's engine and precision, such as "eager, fp32".
        ratio: from steps that were neighbours in time.
    """

    peer: str
    way: str
    ratio: Ratio

    @classmethod
    def of(cls, ours: Result, peer: Result) -> Beside:
        """Compare two results step by step."""
        case = peer.case
        return cls(case.source, f"{case.engine}, {case.precision}", Ratio.of(ours.timing, peer.timing))


@dataclass(frozen=True)
class Result:
    """One case, measured.

    Attributes:
        case: the case.
        timing: seconds of each step.
        flops: of one step, with its backward pass; a multiply-accumulate counts as two.
        peak_bytes: peak memory of building and of the first step, in training of the first two; None where the
            system has no count.
        matmul_rate: operations per second of large matrix products, sampled between the steps. They have the same
            precision and threads, and are made by the library that the engine uses.
        ratio: how many times as fast ours is as this peer; None for our own.
        beside: of our own, how many times as fast it is as the group's peer; None without one.
    """

    case: Case
    timing: Timing
    flops: int
    peak_bytes: int | None
    matmul_rate: float
    ratio: Ratio | None = None
    beside: Beside | None = None

    @property
    def images_per_second(self) -> float:
        """Images per second, from the median."""
        return self.case.batch / self.timing.median

    @property
    def flops_per_second(self) -> float:
        """FLOP per second that were achieved, from the median."""
        return self.flops / self.timing.median

    @property
    def matmul_share(self) -> float:
        """FLOP/s achieved over those of the matrix product; above 1 where an engine saves multiplications."""
        return self.flops_per_second / self.matmul_rate

    def to_dict(self) -> dict[str, Any]:
        """Return all fields and the values derived from them, as JSON values."""
        timing = self.timing
        return {
            **vars(self.case),
            "steps": len(timing.seconds),
            "seconds": list(timing.seconds),
            "seconds_mean": timing.mean,
            "seconds_sd": timing.deviation,
            "seconds_median": timing.median,
            "seconds_p99": timing.quantile(0.99),
            "images_per_second": self.images_per_second,
            "flops": self.flops,
            "flops_per_second": self.flops_per_second,
            "matmul_flops_per_second": self.matmul_rate,
            "matmul_share": self.matmul_share,
            "peak_bytes": self.peak_bytes,
            "times_the_peer": vars(self.ratio) if self.ratio else None,
            "beside": None if self.beside is None else {**vars(self.beside), "ratio": vars(self.beside.ratio)},
        }


@dataclass(frozen=True)
class BenchReport:
    """The result of `bench`.

    Attributes:
        results: one per case, in the order of measuring.
        machine: processor, threads, versions, date.
        warm_up: steps per case before measuring.
        notes: for the reader, such as why a peer was left out.
    """

    results: tuple[Result, ...]
    machine: dict[str, Any]
    warm_up: int
    notes: tuple[str, ...] = ()

    def geometric_means(self) -> dict[str, float]:
        """Return, per peer, the geometric mean of the ratios: how many times as fast ours is."""
        by_source: dict[str, list[float]] = {}
        for result in self.results:
            if result.ratio:
                by_source.setdefault(result.case.source, []).append(result.ratio.median)
        return {peer: math.exp(statistics.fmean(map(math.log, ratios))) for peer, ratios in by_source.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "results": [result.to_dict() for result in self.results],
            "times_the_peer_geometric_mean": self.geometric_means(),
            "warm_up": self.warm_up,
            "notes": list(self.notes),
            "machine": self.machine,
        }

    def tables(self) -> list[Table]:
        """Return a table per network, kind of step and shape of batch, of at most 80 columns."""
        tables: dict[tuple[object, ...], list[Result]] = {}
        for result in self.results:
            case = result.case
            tables.setdefault((case.model, case.mode, case.batch, case.resolution), []).append(result)
        return [_table(results) for results in tables.values()]

    def sentences(self) -> list[str]:
        """Return one line per case, in the format of convnet-benchmarks."""
        words = {"forward": "forward", "train": "forward-backward-update"}
        return [
            f"{result.case.model} ({result.case.source}): {words[result.case.mode]} across {len(t.seconds)} steps, "
            f"{t.mean:.3f} +/- {t.deviation:.3f} sec / batch"
            for result in self.results
            for t in [result.timing]
        ]


@dataclass(frozen=True)
class Table:
    """A table for people.

    Attributes:
        title: a line.
        header: a word per column.
        rows: cells.
        foot: what the columns mean.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    foot: str


def _table(results: list[Result]) -> Table:
    case = results[0].case
    step = {"forward": "forward", "train": "forward, backward, update"}[case.mode]
    # Of several peers each has its own turns with ours.
    peers = list(dict.fromkeys(result.beside.peer for result in results if result.beside))
    counts = len({result.case.threads for result in results}) > 1
    header = ("by", "format", *(("threads",) if counts else ()), "images/s", "p50 ms", "p99 ms", "GEMM")
    has_memory = not (peers and counts)  # the line has 80 columns; JSON has all
    header += (*(("peak MB",) if has_memory else ()), *(("× peer, 5-95%",) if peers else ()))
    own = f"{case.model}: {step}; batch {case.batch}, {case.resolution} pixels"
    foot = "GEMM: share of the rate of large matrix products by the same library."
    if peers:
        foot += f"\n× peer: times the speed of {', '.join(_peer_words(results, peer) for peer in peers)}."
    rows = tuple(_row(result, counts, has_memory, bool(peers)) for result in results)
    return Table(own, header, rows, foot)


def _peer_words(results: list[Result], peer: str) -> str:
    beside = next(result.beside for result in results if result.beside and result.beside.peer == peer)
    return f"{peer} ({beside.way})"


def _row(result: Result, counts: bool, has_memory: bool, has_peers: bool) -> tuple[str, ...]:
    case, timing = result.case, result.timing
    ratio = result.beside.ratio if result.beside else None
    by = case.way if case.source == "residua" else case.source
    if case.source != "residua" and case.engine != "eager":
        by += f" {case.engine}"
    peak = "-" if result.peak_bytes is None else f"{result.peak_bytes / 1e6:,.0f}"
    times = f"{ratio.median:.2f} {ratio.low:.2f}-{ratio.high:.2f}" if ratio else ""
    return (
        by,
        case.precision,
        *((str(case.threads or "own"),) if counts else ()),
        f"{result.images_per_second:,.1f}",
        f"{1e3 * timing.median:,.1f}",
        f"{1e3 * timing.quantile(0.99):,.1f}",
        f"{result.matmul_share:.0%}",
        *((peak,) if has_memory else ()),
        *((times,) if has_peers else ()),
    )
