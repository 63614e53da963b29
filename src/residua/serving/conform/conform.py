"""Hold a server against the Open Inference Protocol and return a row for each requirement."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residua._base.errors import InputError
from residua._base.json_file import read_json
from residua.serving.conform import describing, extensions, inference
from residua.serving.conform.check import Check, Fault, Level, Skip, Subject, Verdict
from residua.serving.conform.exchange import Answer, Judge, shown

_MOST_VALUES = 4_000_000
_SECONDS = 10.0


@dataclass(frozen=True)
class Row:
    """A requirement and how the server met it.

    Attributes:
        requirement: one sentence.
        source: the document that demands it.
        level: "must", or "should" where the judges disagree.
        request: the last request that was sent for it.
        answer: the last answer.
        verdict: "pass", "fail" or "skip".
        reason: what came instead, or why it was not tried; "" for a pass.
    """

    requirement: str
    source: str
    level: Level
    request: str
    answer: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Conformance:
    """The rows of one server.

    Attributes:
        url: of the server.
        model: that was used.
        rows: one for each requirement.
    """

    url: str
    model: str
    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether no "must" failed."""
        return not any(row.verdict == "fail" and row.level == "must" for row in self.rows)

    def count(self, verdict: Verdict) -> int:
        """Return the number of rows with a verdict."""
        return sum(row.verdict == verdict for row in self.rows)


def conform(
    url: str,
    *,
    model: str | None = None,
    request: Path | None = None,
    token: str | None = None,
    timeout: float = _SECONDS,
) -> Conformance:
    """Try every requirement on a server.

    Args:
        url: of the server, without /v2.
        model: the model to use; None takes the first that the server lists.
        request: a JSON file with an inference request that the model answers; None makes one of its metadata.
        token: a bearer token.
        timeout: of each request with its answer, seconds.

    Raises:
        InputError: no server there, or one that redirects; no model; a file that is no request.
    """
    judge = Judge(url, token, timeout)
    first = judge.get("v2/health/live")
    if not first.status:
        raise InputError(
            f"url={shown(url)!r}: {first.fault}", "a server that answers", "Start it, or check the address"
        )
    if 300 <= first.status < 400:
        location = shown(first.headers.get("location", ""))[:200] or "nowhere"
        raise InputError(
            f"url={shown(url)!r}, which redirects to {location!r}",
            "a server that answers by itself",
            "Give the address that it redirects to",
        )
    subject = Subject(judge, model or _first_model(judge))
    _look(subject, None if request is None else _read(request))
    checks = (*describing.CHECKS, *inference.CHECKS, *extensions.CHECKS)
    return Conformance(shown(url), subject.model, tuple(_row(check, subject) for check in checks))


def _row(check: Check, subject: Subject) -> Row:
    verdict: Verdict
    verdict, reason = "pass", ""
    subject.judge.sent = ""
    try:
        check.run(subject)
    except Fault as fault:
        verdict, reason = "fail", str(fault)
    except Skip as skip:
        verdict, reason = "skip", str(skip)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        # An answer that is built unlike any that the protocol knows.
        verdict, reason = "fail", f"the answer has another form ({type(error).__name__}: {error})"
    sent = subject.judge.sent
    answer = subject.judge.got.excerpt if sent else ""
    return Row(check.requirement, check.source, check.level, sent, answer, verdict, reason)


def _first_model(judge: Judge) -> str:
    """Return a model that the server lists through one of two extensions; the protocol itself has no list."""
    index = judge.post("v2/repository/index")
    listed = index.json
    names = [each.get("name") for each in listed if _is_ready(each)] if isinstance(listed, list) else []
    stats = None
    if not names:
        stats = judge.get("v2/models/stats")
        entries = stats.json.get("model_stats") if isinstance(stats.json, dict) else None
        names = [each.get("name") for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
    known = [name for name in names if isinstance(name, str) and name]
    if known:
        return known[0]
    if 401 in (index.status, stats.status if stats else 0):
        raise InputError("a server that answers 401", "its bearer token", "Name the file of it with token_file=FILE")
    why = f"POST v2/repository/index: {_no_list(index)}"
    why += f"; GET v2/models/stats: {_no_list(stats)}" if stats else ""
    raise InputError(
        f"no model, and a server that lists none ({why})",
        "the name of a model",
        "Give it with model=NAME, or check the address",
    )


def _no_list(answer: Answer) -> str:
    if answer.status != 200:
        return answer.fault or f"status {answer.status}"
    return answer.json_fault or "names no model that is ready"


def _is_ready(entry: Any) -> bool:
    return isinstance(entry, dict) and entry.get("state", "READY") == "READY"


def _look(subject: Subject, request: dict[str, Any] | None) -> None:
    """Find out what the checks build on; what is missing makes them fail or skip."""
    server = subject.judge.get("v2").json
    listed = server.get("extensions") if isinstance(server, dict) else None
    subject.extensions = tuple(map(str, listed)) if isinstance(listed, list) else ()
    metadata = subject.judge.get(subject.path)
    if metadata.status == 200 and isinstance(metadata.json, dict):
        subject.metadata = metadata.json
    for candidate in [request] if request else _candidates(subject.metadata):
        answer = subject.infer(candidate)
        if answer.status == 200 and isinstance(answer.json, dict) and isinstance(answer.json.get("outputs"), list):
            subject.request, subject.answer = candidate, answer.json
            return


def _candidates(metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield requests that a model may answer: of all inputs, then of each alone, as some models take alternatives."""
    try:
        entries = [_input(each) for each in metadata.get("inputs") or []]
    except (KeyError, TypeError, ValueError, OverflowError):
        return
    if entries:
        yield {"inputs": entries}
    if len(entries) > 1:
        yield from ({"inputs": [entry]} for entry in entries)


def _input(described: dict[str, Any]) -> dict[str, Any]:
    shape = [1 if side == -1 else int(side) for side in described["shape"]]
    count = 1
    for side in shape:
        count *= side
    if not 0 < count <= _MOST_VALUES:
        raise ValueError("a shape that is too large to fill")
    # The same values each time, so that two answers can be compared.
    values = random.Random(0)
    datatype = described["datatype"]
    data: list[Any]
    if datatype == "BYTES":
        data = ["0"] * count
    elif datatype == "BOOL":
        data = [True] * count
    elif datatype.startswith("FP"):
        data = [round(values.random(), 3) for _ in range(count)]
    else:
        data = [values.randrange(2) for _ in range(count)]
    return {"name": described["name"], "datatype": datatype, "shape": shape, "data": data}


def _read(path: Path) -> dict[str, Any]:
    document = read_json(path, dict)
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or not all(isinstance(each, dict) and "data" in each for each in inputs):
        raise InputError(f"request={str(path)!r}", "a JSON request whose inputs have data", "See docs/serving.md")
    return document
