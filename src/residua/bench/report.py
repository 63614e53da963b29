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
class Result:
    """One case, measured.

    Attributes:
        case: the case.
        timing: seconds of each step.
        flops: of one step, with its backward pass; a multiply-accumulate counts as two.
        peak_bytes: peak memory of building and of the first step, in training of the first two; None where the
            system has no count.
        matmul_rate: FLOP/s of a large matrix product of the same precision, sampled between the steps.
        ratio: how many times as fast ours is as this peer; None for our own.
    """

    case: Case
    timing: Timing
    flops: int
    peak_bytes: int | None
    matmul_rate: float
    ratio: Ratio | None = None

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

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the header and the rows of a table for people."""
        header = "network|by|step|mean ± sd, ms|median|p99|images/s|GFLOP/s|of matmul|peak MB|ours is"
        return tuple(header.split("|")), [_row(result) for result in self.results]

    def sentences(self) -> list[str]:
        """Return one line per case, in the format of convnet-benchmarks."""
        words = {"forward": "forward", "train": "forward-backward-update"}
        return [
            f"{result.case.model} ({result.case.source}): {words[result.case.mode]} across {len(t.seconds)} steps, "
            f"{t.mean:.3f} +/- {t.deviation:.3f} sec / batch"
            for result in self.results
            for t in [result.timing]
        ]


def _row(result: Result) -> tuple[str, ...]:
    case, timing, ratio = result.case, result.timing, result.ratio
    faster = f"{ratio.median:.2f} times as fast ({ratio.low:.2f} to {ratio.high:.2f})" if ratio else ""
    return (
        case.model,
        case.source,
        case.shape,
        f"{1e3 * timing.mean:.1f} ± {1e3 * timing.deviation:.1f}",
        f"{1e3 * timing.median:.1f}",
        f"{1e3 * timing.quantile(0.99):.1f}",
        f"{result.images_per_second:,.1f}",
        f"{result.flops_per_second / 1e9:,.1f}",
        f"{result.matmul_share:.0%}",
        "unknown" if result.peak_bytes is None else f"{result.peak_bytes / 1e6:,.0f}",
        faster,
    )
