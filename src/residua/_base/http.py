"""Asking a server politely: where redirects may lead, what a token is shown to, when to try again."""

from __future__ import annotations

import errno
import http.client
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from residua._base.errors import InputError

_TIMEOUT_SECONDS = 30
_ATTEMPTS = 4
_LONGEST_WAIT_SECONDS = 60
_HOPS = 5
_TRUE = ("1", "true", "yes", "on")
# What is tried again: a server that is busy, slow or restarting (RFC 9110, section 15; 429: RFC 6585).
_PASSING = (408, 425, 429, 500, 502, 503, 504)

ERRORS = (urllib.error.URLError, OSError, http.client.HTTPException)
"""What a request may raise (`urllib.error.HTTPError` is one of them)."""


class Refused(OSError):
    """An answer that asking again will not change."""


def is_offline() -> bool:
    """Whether $RESIDUA_OFFLINE or $HF_HUB_OFFLINE forbids the network."""
    return any(os.environ.get(name, "").lower() in _TRUE for name in ("RESIDUA_OFFLINE", "HF_HUB_OFFLINE"))


def require_http(url: str) -> str:
    """Return `url` if it is one of http or https with a host.

    Raises:
        InputError: it is something else.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise InputError(f"the address {url!r}", "http://HOST/… or https://HOST/…", "Check the address")
    return url


def open_url(
    url: str, *, headers: Mapping[str, str] | None = None, token: str = "", method: str = "GET", follow: bool = True
) -> Any:
    """Ask for `url`; the answer is an `http.client.HTTPResponse`, to be used as a context manager.

    Args:
        headers: of the request; redirects keep them.
        token: a bearer token, shown to the host of `url` alone: a redirect goes without it.
        method: "GET" or "HEAD".
        follow: whether redirects are followed, to http and https only; else they raise their HTTPError.

    Raises:
        ERRORS: as urllib raises them.
    """
    request = urllib.request.Request(require_http(url), headers=dict(headers or {}), method=method)
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    opener = urllib.request.build_opener(_Following if follow else _Staying)
    return opener.open(request, timeout=_TIMEOUT_SECONDS)


@dataclass(frozen=True)
class Head:
    """What a server says of a file without sending it.

    Attributes:
        url: where the file is on the same host, renamed folders resolved.
        headers: of the answer, or of its redirect to another host.
    """

    url: str
    headers: Message


def head(url: str, *, token: str = "", final: str = "") -> Head:
    """Ask what `url` is; redirects are followed on its own host, with the token, and noted where they lead away.

    Args:
        final: a header whose presence ends the following.

    Raises:
        ERRORS: as urllib raises them, once trying again is over.
    """
    patience = Patience()
    for _ in range(_HOPS):
        while True:
            try:
                with open_url(url, token=token, method="HEAD", follow=False) as answer:
                    return Head(url, answer.headers)
            except ERRORS as error:
                if isinstance(error, urllib.error.HTTPError) and 300 <= error.code < 400:
                    headers = error.headers
                    error.close()
                    break
                patience.endure(error)
        target = urllib.parse.urljoin(url, headers.get("Location", ""))
        if (final and final in headers) or urllib.parse.urlsplit(target)[:2] != urllib.parse.urlsplit(url)[:2]:
            return Head(url, headers)
        url = target
    raise Refused(f"more than {_HOPS} redirects from {url}")


class Patience:
    """How often a failing server is asked again, and how long to wait in between."""

    def __init__(self) -> None:
        self._failures = 0

    def progress(self) -> None:
        """Something arrived: the count of failures starts again."""
        self._failures = 0

    def endure(self, error: BaseException) -> None:
        """Wait before the next attempt, or raise `error` where another would be in vain."""
        self._failures += 1
        pause = 2.0**self._failures / 8
        if isinstance(error, urllib.error.HTTPError):
            error.close()
            asked = str(error.headers.get("Retry-After") or "")
            pause = max(pause, float(asked)) if asked.isascii() and asked.isdecimal() else pause
            if error.code not in _PASSING or pause > _LONGEST_WAIT_SECONDS:
                raise error
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if self._failures >= _ATTEMPTS or full or isinstance(error, Refused):
            raise error
        time.sleep(pause)


class _Following(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            fp.close()
            raise Refused(f"redirected to {newurl}, which is neither http nor https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Staying(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None
