"""Inference by the protocol."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from residua.serving.endpoints.describe import model_of
from residua.serving.endpoints.replies import packed_reply, service_of
from residua.serving.service import unless_gone
from residua.serving.wire.body import Body
from residua.serving.wire.request import parse_infer
from residua.serving.wire.response import infer_response


async def infer(request: Request) -> Response:
    """Answer an inference request.

    Raises:
        Refusal: whatever is wrong, named.
    """
    service = service_of(request)
    start = time.perf_counter()
    with model_of(request).in_use() as version:
        try:
            version.batcher.check_open()
            async with Body(service.bodies, request.headers, request.receive) as body:
                settings = service.settings
                parsed = parse_infer(
                    body.content, request.headers, version.signature, settings.limits, settings.most_images
                )
                request.scope["residua.images"] = parsed.count
                deadline = service.deadline(parsed.timeout)
                logits = await unless_gone(request.receive, service.infer(version, parsed, deadline))
        except BaseException:
            version.statistics.failed(time.perf_counter() - start)
            raise
        encoding = time.perf_counter()
        values = version.outputs(logits)
        content, headers = infer_response(
            version.name, version.version, parsed.id, parsed.outputs, values, version.description.classes
        )
        response = await packed_reply(request, content, headers)
        now = time.perf_counter()
        version.statistics.encoded(now - encoding)
        version.statistics.answered(parsed.count, now - start)
        return response
