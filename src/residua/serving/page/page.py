"""The page at `/`, its style sheet and its script, under a policy that lets nothing else in."""

from __future__ import annotations

from functools import cache

from starlette.requests import Request
from starlette.responses import Response

from residua.figures.pages import environment

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {"page.html": "text/html", "page.css": "text/css", "page.js": "text/javascript"}


@cache
def rendered(name: str) -> str:
    """Return one of the page's files."""
    return environment("residua.serving.page").get_template(name).render()


async def page(request: Request) -> Response:
    """Return the page, or the file of it that the address names."""
    name = request.url.path.strip("/") or "page.html"
    headers = {"content-security-policy": POLICY, "referrer-policy": "no-referrer", "cache-control": "no-cache"}
    return Response(rendered(name), headers=headers, media_type=_TYPES[name])
