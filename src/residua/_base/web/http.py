"""Requests to servers: where redirects may lead, which host sees a token, when to try again."""

from __future__ import annotations

import base64
import errno
import http.client
import os
import random
import re
import string
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from residua._base.errors import InputError
from residua._base.public import public_address

_TIMEOUT_SECONDS = 30  # without a byte
_ATTEMPTS = 4  # of one request, each twice as long after the last
_LONGEST_WAIT_SECONDS = 60
_HOPS = 5  # redirects: more of them is a circle
_TRUE = ("1", "true", "yes", "on")
# What is tried again: a server that is busy, slow or restarting (RFC 9110, section 15; 429: RFC 6585).
_PASSING = (408, 425, 429, 500, 502, 503, 504)

ERRORS = (urllib.error.URLError, OSError, http.client.HTTPException)
"""What a request may raise (`urllib.error.HTTPError` is one of them)."""


class Refused(OSError):
    """An answer that a second request would not change."""


def is_offline() -> bool:
    """Return whether $RESIDUA_OFFLINE or $HF_HUB_OFFLINE forbids the network."""
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
        raise InputError(f"the address {public_address(url)!r}", "http://HOST/… or https://HOST/…", "Check the address")
    return url


def open_url(
    url: str, *, headers: Mapping[str, str] | None = None, token: str = "", method: str = "GET", follow: bool = True
) -> Any:
    """Ask for `url`; the answer is an `http.client.HTTPResponse`, to be used as a context manager.

    Args:
        url: may name a user and a password, which are sent to its own host alone.
        headers: of the request; redirects keep them.
        token: a bearer token, sent to the host of `url` alone: a redirect goes without it.
        method: "GET" or "HEAD".
        follow: whether redirects are followed, to http and https only; else they raise their HTTPError.

    Raises:
        ERRORS: as urllib raises them; an address that cannot be asked is `Refused`.
    """
    address, user = _without_user(require_http(url))
    opener = urllib.request.build_opener(_FollowHandler if follow else _StayHandler)
    try:
        # A name outside ASCII is sent as UTF-8 in percent signs; whatever stands in them already stays.
        quoted = urllib.parse.quote(address, safe=string.punctuation)
        request = urllib.request.Request(quoted, headers=dict(headers or {}), method=method)
        if token or user:
            request.add_unredirected_header("Authorization", f"Bearer {token}" if token else f"Basic {user}")
        return opener.open(request, timeout=_TIMEOUT_SECONDS)
    except ValueError as error:
        # Its own words may quote the header that holds the token.
        raise Refused(f"{public_address(url)} or its redirect is no address that can be asked") from error


def _without_user(url: str) -> tuple[str, str]:
    """Return an address without its user part, and that part in the form of Basic authorisation (RFC 7617)."""
    scheme, separator, rest = url.partition("://")
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    user, at, _ = host.rpartition("@")
    if not at:
        return url, ""
    name = urllib.parse.unquote(user)
    return f"{scheme}{separator}{rest[len(user) + 1 :]}", base64.b64encode(name.encode(errors="replace")).decode()


@dataclass(frozen=True)
class Head:
    """What a server states of a file without sending it.

    Attributes:
        url: where the file is on the same host, renamed folders resolved.
        headers: of the answer, or of its redirect to another host.
    """

    url: str
    headers: Message


def head(url: str, *, token: str = "", final: str = "") -> Head:
    """Ask for the headers of `url`; redirects are followed on its own host, with the token, and no further.

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
        if final and final in headers:
            return Head(url, headers)
        try:
            target = urllib.parse.urljoin(url, str(headers.get("Location", "")))
            away = urllib.parse.urlsplit(target)[:2] != urllib.parse.urlsplit(url)[:2]
        except ValueError as error:
            raise Refused(f"{public_address(url)} redirects to something that is no address") from error
        if away:
            return Head(url, headers)
        url = target
    raise Refused(f"more than {_HOPS} redirects from {public_address(url)}")


def number_in(header: str | None) -> int | None:
    """Return the whole number that a header holds, None where it holds none of at most 18 digits."""
    text = str(header or "")
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


class Patience:
    """How often a failing server is asked again, and how long to wait between attempts."""

    def __init__(self) -> None:
        self._failures = 0

    def progress(self) -> None:
        """Start the count of failures again: something arrived."""
        self._failures = 0

    def endure(self, error: BaseException) -> None:
        """Wait before the next attempt, or raise `error` where a further one would be in vain."""
        self._failures += 1
        # At random, so that many that failed together do not come back together.
        pause = 2.0**self._failures / 8 * random.uniform(1, 1.5)
        if isinstance(error, urllib.error.HTTPError):
            error.close()
            pause = max(pause, float(number_in(error.headers.get("Retry-After")) or 0))
            if error.code not in _PASSING or pause > _LONGEST_WAIT_SECONDS:
                raise error
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if self._failures >= _ATTEMPTS or full or isinstance(error, Refused):
            raise error
        time.sleep(pause)


class _FollowHandler(urllib.request.HTTPRedirectHandler):
    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        try:
            target = urllib.parse.urljoin(req.full_url, str(headers.get("Location") or ""))
            scheme = urllib.parse.urlsplit(target).scheme
        except ValueError:
            scheme = ""
        if scheme not in ("http", "https"):
            fp.close()
            raise Refused(f"redirected to an address of {scheme[:20]!r}, which is neither http nor https")
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class _StayHandler(urllib.request.HTTPRedirectHandler):
    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        return None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302
