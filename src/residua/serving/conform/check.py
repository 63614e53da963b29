"""A check: a requirement with its source, and a function that finds out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from residua.serving.conform.exchange import Answer, Judge

Level = Literal["must", "should"]
Verdict = Literal["pass", "fail", "skip"]

REST = "Open Inference Protocol, inference_rest.md"
YAML = "Open Inference Protocol, open_inference_rest.yaml"
BINARY = "Triton, extension_binary_data.md"
CLASSES = "Triton, extension_classification.md"
STATISTICS = "Triton, extension_statistics.md"
CONFIG = "Triton, extension_model_configuration.md"
REPOSITORY = "Triton, extension_model_repository.md"
CLIENT = "tritonclient 2.73, http/_utils.py"
HTTP = "RFC 9110"
ROBUST = "robustness: a client's mistake is answered with 4xx"


class Fault(Exception):
    """A requirement that is not met; the message states what came instead."""


class Skip(Exception):
    """A requirement that cannot be tried here; the message states why."""


@dataclass
class Subject:
    """What is judged, and what is known of it so far.

    Attributes:
        judge: sends requests.
        model: the name of the model.
        metadata: of the model, {} where there is none.
        extensions: that the server states.
        request: an inference request that is answered, or None.
        answer: the answer to it, JSON.
    """

    judge: Judge
    model: str
    metadata: dict[str, Any] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()
    request: dict[str, Any] | None = None
    answer: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The model's address."""
        return f"v2/models/{self.model}"

    def valid(self) -> dict[str, Any]:
        """Return a copy of a request that is answered.

        Raises:
            Skip: none is known.
        """
        if self.request is None:
            raise Skip("no request is known that this model answers; give one with request=FILE")
        return {**self.request, "inputs": [dict(each) for each in self.request["inputs"]]}

    def infer(self, document: Any) -> Answer:
        """Send an inference request."""
        return self.judge.post(f"{self.path}/infer", document)

    def need(self, extension: str) -> None:
        """Go on only where the server states an extension.

        Raises:
            Skip: it does not.
        """
        if extension not in self.extensions:
            raise Skip(f"the server does not state the extension {extension}")


@dataclass(frozen=True)
class Check:
    """A requirement.

    Attributes:
        requirement: one sentence.
        source: the document that demands it.
        run: tries it; raises `Fault` or `Skip`.
        level: "must" decides the verdict on the server; "should" is reported.
    """

    requirement: str
    source: str
    run: Callable[[Subject], None]
    level: Level = "must"


def expect(condition: object, message: str) -> None:
    """Go on where the condition holds.

    Raises:
        Fault: it does not.
    """
    if not condition:
        raise Fault(message)


def answered(answer: Answer) -> Any:
    """Return the JSON of an answer with status 200.

    Raises:
        Fault: another status, or no JSON.
    """
    expect(answer.status == 200, answer.fault or f"status {answer.status}, wanted 200")
    document = answer.json
    expect(document is not None, answer.json_fault or "the body is null")
    return document


def refused(answer: Answer) -> None:
    """Go on where a request was refused as the protocol wants it.

    Raises:
        Fault: no status of 400 to 499, or a body other than {"error": text}.
    """
    expect(400 <= answer.status < 500, answer.fault or f"status {answer.status}, wanted 4xx")
    document = answer.json
    error = document.get("error") if isinstance(document, dict) else None
    expect(isinstance(error, str) and error, 'the body of the error is not {"error": TEXT}')


def volume(shape: Any) -> int:
    """Return the number of values of a shape, −1 where it is none."""
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        return -1
    return math.prod(shape)


def flat(data: Any) -> list[Any]:
    """Return nested lists as one."""
    return [value for each in data for value in flat(each)] if isinstance(data, list) else [data]
