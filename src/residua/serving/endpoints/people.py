"""`POST /predict`: an image or a form of images in, labels and probabilities out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from residua.data.decode import BadImage, Pixels
from residua.serving.endpoints.overlays import MOST, overlays
from residua.serving.endpoints.replies import packed_reply, service_of
from residua.serving.endpoints.uploads import Upload, uploads
from residua.serving.model import ModelVersion
from residua.serving.networks.network import Picture
from residua.serving.refusal import Refusal
from residua.serving.service import Service, unless_gone
from residua.serving.wire.body import Body

_QUERY = {"top", "explain", "model", "version"}


async def predict(request: Request) -> Response:
    """Answer images: `?top=`, `?explain=1`, `?model=`, `?version=`.

    An image of a form that cannot be decoded has an `error` in its entry, and the others are answered.

    Raises:
        Refusal: nothing that can be answered, or a full queue.
    """
    service = service_of(request)
    start = time.perf_counter()
    query = _checked(request)
    chosen = service.models.get(query["model"], query.get("version")) if "model" in query else service.models.first()
    request.scope["residua.model"] = chosen.name
    with chosen.in_use() as version:
        top, explain = _number(query, "top", 5), _flag(query, "explain")
        try:
            version.batcher.check_open()
            async with Body(service.bodies, request.headers, request.receive) as body:
                images = await uploads(body.content, request.headers, service.settings)
                _check_count(images, explain, service)
                request.scope["residua.images"] = len(images)
                work = _answers(service, version, images, top, explain)
                entries = await unless_gone(request.receive, work)
        except BaseException:
            version.statistics.failed(time.perf_counter() - start)
            raise
        seconds = time.perf_counter() - start
        version.statistics.answered(len(images), seconds)
    document: dict[str, Any] = {"model": version.name, "version": version.version, "images": entries}
    document["milliseconds"] = round(1000 * seconds, 3)
    return await packed_reply(request, json.dumps(document).encode(), {"content-type": "application/json"})


async def _answers(
    service: Service, version: ModelVersion, images: Sequence[Upload], top: int, explain: bool
) -> list[dict[str, Any]]:
    deadline = service.deadline()
    version.batcher.admit(len(images), deadline)
    admitted = len(images)
    try:
        decoded = await service.decode([each.content for each in images], version)
        good = [each for each in decoded if not isinstance(each, BadImage)]
        if not good:
            bad = next(each for each in decoded if isinstance(each, BadImage))
            raise Refusal(400, f"the image cannot be used: {bad.reason}", "bad_image")
        version.batcher.leave(len(images) - len(good))
        admitted = len(good)
    except BaseException:
        version.batcher.leave(admitted)
        raise
    logits = await version.batcher.submit(good, deadline)
    probabilities = version.network.probabilities(logits)
    maps = iter(await _maps(service, version, good, probabilities, deadline)) if explain else None
    rows = iter(zip(logits, probabilities, strict=True))
    entries = []
    for image, pixels in zip(images, decoded, strict=True):
        if isinstance(pixels, BadImage):
            entries.append({"name": image.name, "error": pixels.reason})
        else:
            entry = {"name": image.name} | _ranking(version, *next(rows), top)
            entries.append(entry if maps is None else entry | dict(next(maps)))
    return entries


async def _maps(
    service: Service,
    version: ModelVersion,
    pixels: Sequence[Pixels],
    probabilities: np.ndarray[Any, Any],
    deadline: float,
) -> list[Picture]:
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            return await overlays(service, version, pixels, probabilities.argmax(axis=1).tolist())
    except TimeoutError:
        raise Refusal(504, "the deadline passed before the explanation was computed", "deadline") from None


def _ranking(
    version: ModelVersion, logits: np.ndarray[Any, Any], probabilities: np.ndarray[Any, Any], top: int
) -> dict[str, Any]:
    """Return the `top` classes, as `predict` ranks them, and whether the answer is sure enough to be one.

    Of an image that may have several labels, those that reach their thresholds, and the probabilities of all.
    """
    if version.description.label_thresholds is not None:
        return _labels(version.description.classes, version.description.label_thresholds, probabilities)
    order = np.argsort(-probabilities, kind="stable")[:top].tolist()
    threshold = version.description.threshold
    return {
        "labels": [version.description.classes[index] for index in order],
        "probabilities": [float(probabilities[index]) for index in order],
        "unknown": version.description.unknown(logits, probabilities),
        "threshold": threshold,
    }


def _labels(classes: Sequence[str], thresholds: Sequence[float], probabilities: np.ndarray[Any, Any]) -> dict[str, Any]:
    every = [float(share) for share in probabilities]
    order = [index for index in np.argsort(-probabilities, kind="stable").tolist() if every[index] >= thresholds[index]]
    return {
        "labels": [classes[index] for index in order],
        "probabilities": [every[index] for index in order],
        "unknown": None,
        "threshold": None,
        "all_probabilities": dict(zip(classes, every, strict=True)),
    }


def _check_count(images: Sequence[Upload], explain: bool, service: Service) -> None:
    most = MOST if explain else service.settings.most_images
    if len(images) > most:
        kind = "images with explanations" if explain else "images"
        raise Refusal(413, f"{len(images)} {kind} in a request; at most {most} are taken", "too_large")


def _checked(request: Request) -> dict[str, str]:
    pairs = request.query_params.multi_items()
    query = dict(pairs)
    if len(query) != len(pairs):
        raise Refusal(400, "a parameter stands twice")
    if unknown := query.keys() - _QUERY:
        known = ", ".join(sorted(_QUERY))
        raise Refusal(400, f"no parameter {min(unknown)[:40]!r}; there are {known}", "unknown")
    if "version" in query and "model" not in query:
        raise Refusal(400, "version without model")
    return query


def _number(query: dict[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or not 1 <= len(text) <= 6 or int(text) < 1:
        raise Refusal(400, f"{name}={text[:40]!r}; a whole number from 1 on is wanted")
    return int(text)


def _flag(query: dict[str, str], name: str) -> bool:
    text = query.get(name, "0")
    if text not in ("0", "1", "true", "false"):
        raise Refusal(400, f"{name}={text[:40]!r}; 0 or 1 is wanted")
    return text in ("1", "true")
