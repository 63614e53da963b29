"""The gate: whether an export holds what its precision promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from residua._base.words import counted
from residua.evaluation.measures.drop import AccuracyDrop, Answer, accuracy_drop
from residua.exporting.names import LIMITS, MAX_DROP, ExportPrecision
from residua.exporting.proof import LabelProofRow, Proof, ProofRow


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


@dataclass(frozen=True)
class Step:
    """A step of the ladder to int8.

    Attributes:
        recipe: how the network was quantised.
        verdict: the gate's answer.
    """

    recipe: str
    verdict: Verdict


def judge(proof: Proof, precision: ExportPrecision, max_drop: float = MAX_DROP, *, any_size: bool = False) -> Verdict:
    """Hold a proof against what a precision promises.

    fp32 must hold its limits on every row, and bf16 on the labelled images, or on the golden ones where there are no
    others. A graph that resizes is held to the limits of bf16, as a grey level changes its logits. One answer may
    differ there however few images there are. int8 must not lose more than `max_drop` of top-1, a fraction of 1, on
    the labelled images. Where an image may have several labels, an answer is whether it has one of them.
    """
    if precision == "int8":
        return _judge_drop(proof, max_drop)
    rounded = precision == "bf16" or any_size
    limits = LIMITS["bf16" if rounded else precision]
    rows = proof.rows[-1:] if rounded and proof.right is not None else proof.rows
    failed = [text for row in rows if (text := _failure(row, limits.agreement, limits.error, spared=int(any_size)))]
    if failed:
        return Verdict("fails", "; ".join(failed))
    return Verdict("passes", _held(rows))


def _judge_drop(proof: Proof, max_drop: float) -> Verdict:
    row = proof.rows[-1]
    if row.error is None:
        return Verdict("fails", f"{row.images}: an output is NaN or infinite")
    if proof.right is None:
        sentence = f"golden images have no labels; {row.agreement:.2%} of the answers for them agree with eager's"
        return Verdict("undecided", sentence)
    drop = accuracy_drop(*proof.right, max_drop)
    bounds = f"one-sided 95% bounds {100 * drop.lower:z.2f} and {100 * drop.upper:z.2f}"
    lost = f"top-1 falls by {100 * drop.drop:.2f} points ({bounds}) on {counted(drop.count, 'image')}"
    sentence = f"{lost}; the limit is {100 * max_drop:g}; {row.agreement:.2%} of the answers agree with eager's"
    if drop.answer == "undecided":
        more = "no number of images" if drop.needed is None else f"about {counted(drop.needed, 'image')}"
        sentence += f"; at these rates {more} would show that it {'fails' if drop.drop > max_drop else 'passes'}"
    return Verdict(drop.answer, sentence, drop)


def _failure(row: ProofRow, agreement: float, error: float | None, *, spared: int = 0) -> str:
    """Return what a row does not hold, "" where it holds; so many answers may differ however few images there are."""
    where = f"{row.images} in batches of {', '.join(map(str, row.batches))}"
    if row.error is None:
        return f"{where}: an output is NaN or infinite"
    differ = round(row.answers * (1 - row.agreement))
    if row.agreement < agreement and differ > spared:
        return f"{where}: {differ} of {counted(row.answers, 'answer')} differ, at most {1 - agreement:.1%} may"
    if error is not None and row.error > error:
        return f"{where}: an output differs by {row.error:.1e} of the largest, at most {error:.0e} may"
    return ""


def _held(rows: Sequence[ProofRow]) -> str:
    worst, least = max(row.error or 0.0 for row in rows), min(row.agreement for row in rows)
    answers = "answers"
    if isinstance(rows[-1], LabelProofRow):
        answers = "answers, one per image and label,"
    held = f"{least:.2%} of the {answers} agree with eager's; outputs differ by at most {worst:.1e} of the largest"
    if isinstance(rows[-1], LabelProofRow) and rows[-1].difference is not None:
        held += f"; the mean average precision changes by {100 * rows[-1].difference:+z.2f} points"
    return held
