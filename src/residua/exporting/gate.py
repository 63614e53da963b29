"""The gate: whether an export holds what its precision promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from residua._base.words import counted
from residua.evaluation.measures.drop import AccuracyDrop, Answer
from residua.exporting.names import LIMITS, ExportPrecision
from residua.exporting.proof import Proof, ProofRow


@dataclass(frozen=True)
class Verdict:
    """The gate's answer.

    Attributes:
        answer: "passes", "fails" or "undecided".
        sentence: why, for people.
        drop: the loss of accuracy beside its limit, where that is what the gate asks for; else None.
    """

    answer: Answer
    sentence: str
    drop: AccuracyDrop | None = None


def judge(proof: Proof, precision: ExportPrecision) -> Verdict:
    """Hold a proof against the limits of a precision: every row of it for fp32."""
    limits = LIMITS[precision]
    rows = proof.rows
    failed = [text for row in rows if (text := _failure(row, limits.agreement, limits.error))]
    if failed:
        return Verdict("fails", "; ".join(failed))
    return Verdict("passes", _held(rows))


def _failure(row: ProofRow, agreement: float, error: float | None) -> str:
    """Return what a row does not hold, "" where it holds."""
    where = f"{row.images} in batches of {', '.join(map(str, row.batches))}"
    if row.error is None:
        return f"{where}: an output is NaN or infinite"
    if row.agreement < agreement:
        differ = round(row.count * (1 - row.agreement))
        return f"{where}: {differ} of {counted(row.count, 'answer')} differ, at most {1 - agreement:.1%} may"
    if error is not None and row.error > error:
        return f"{where}: an output differs by {row.error:.1e} of the largest, at most {error:.0e} may"
    return ""


def _held(rows: Sequence[ProofRow]) -> str:
    worst, least = max(row.error or 0.0 for row in rows), min(row.agreement for row in rows)
    return f"{least:.2%} of the answers agree with eager's; outputs differ by at most {worst:.1e} of the largest"
