"""Whether servers can be reached at all, found out within seconds: a name server that is silent takes its time."""

from __future__ import annotations

import socket
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable

from residua._base.errors import InputError
from residua._base.public import public_address
from residua._base.web.http import require_http

CONNECT_SECONDS = 3.0
"""How long connections of one question may take, all together."""
_PORTS = {"http": 80, "https": 443}


def unreachable(urls: Iterable[str], seconds: float = CONNECT_SECONDS) -> dict[str, str]:
    """Return url -> reason for those whose host, or whose proxy, takes no connection in time; nothing is sent.

    All are tried at once.

    Raises:
        InputError: an address that is none of http or https; an address, or the proxy's, whose port is no number.
    """
    reasons = {url: f"no connection to {_host_of(url)[0]} within {seconds:g} s" for url in urls}
    threads = {url: threading.Thread(target=_connect, args=(url, reasons, seconds), daemon=True) for url in reasons}
    until = time.monotonic() + seconds
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        # The system's look-up of a name knows no time limit: its thread is left behind.
        thread.join(max(0.0, until - time.monotonic()))
    return {url: reason for url, reason in dict(reasons).items() if reason}


def _connect(url: str, reasons: dict[str, str], seconds: float) -> None:
    host, port = _host_of(url)
    try:
        socket.create_connection((host, port), seconds).close()
        reasons[url] = ""
    except (OSError, UnicodeError) as error:  # a name that is none: a label of it is empty, or too long
        reasons[url] = f"no connection to {host} ({getattr(error, 'strerror', None) or error})"


def _host_of(url: str) -> tuple[str, int]:
    """Return host and port to connect to for an address: its own, or those of the proxy that the system names."""
    server, parts = url, urllib.parse.urlsplit(require_http(url))
    proxy = urllib.request.getproxies().get(parts.scheme, "")
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        server = proxy if "://" in proxy else f"http://{proxy}"
        parts = urllib.parse.urlsplit(server)
    try:
        return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 80)
    except ValueError:
        kind = "the address" if server == url else "the proxy"
        raise InputError(f"{kind} {public_address(server)!r}", "a port from 0 to 65535", f"Check {kind}") from None
