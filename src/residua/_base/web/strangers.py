"""Content behind addresses that a stranger may have written: of public hosts alone, bounded in size and time."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
import urllib.parse

from residua._base.errors import InputError
from residua._base.web.http import ERRORS, Refused, require_http

MOST_BYTES = 64 << 20
"""Of one answer."""
MOST_SECONDS = 60.0
"""For one address, its redirects among it."""
_CONNECT_SECONDS = 10.0
_HOPS = 5
_PIECE = 1 << 16
_REDIRECTS = (301, 302, 303, 307, 308)


def fetch(url: str, *, most: int = MOST_BYTES, seconds: float = MOST_SECONDS) -> bytes:
    """Return what stands behind an http or https address.

    The host's addresses are resolved once, and the connection goes to one that was looked at. So neither a name that
    resolves differently the second time nor a redirect leads into the own network. Proxies are not used.

    Args:
        url: of a public host.
        most: bytes of the answer.
        seconds: for all of it.

    Raises:
        OSError: no public host, too many redirects, an answer other than 200, too large or too slow.
    """
    until = time.monotonic() + seconds
    for _ in range(_HOPS + 1):
        try:
            answer = _ask(require_http(url), most, until)
        except InputError as error:
            raise Refused("it leads to something that is no http or https address") from error
        except ERRORS as error:
            raise error if isinstance(error, OSError) else Refused(str(error) or type(error).__name__) from None
        if isinstance(answer, bytes):
            return answer
        url = urllib.parse.urljoin(url, answer)
    raise Refused(f"more than {_HOPS} redirects")


def _ask(url: str, most: int, until: float) -> bytes | str:
    """Return the content, or the address that the server redirects to."""
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname is not None
    connection = _connection(parts.scheme, parts.hostname, parts.port, until)
    # A server that sends a byte now and then resets each timeout of a read, never this one.
    watch = threading.Timer(_left(until), _end, [connection.sock])
    watch.daemon = True
    watch.start()
    try:
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        connection.request("GET", urllib.parse.quote(target, safe="/?&=%:+,;@!$'()*~-._[]"), headers=_headers())
        with connection.getresponse() as answer:
            if answer.status in _REDIRECTS:
                return answer.headers.get("Location") or ""
            if answer.status != 200:
                raise Refused(f"the server answers {answer.status}")
            return _content(answer, most, until)
    finally:
        watch.cancel()
        connection.close()


def _headers() -> dict[str, str]:
    return {"User-Agent": "residua", "Accept": "image/*,*/*;q=0.1"}


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _content(answer: http.client.HTTPResponse, most: int, until: float) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        piece = answer.read1(_PIECE)
        _left(until)
        if not piece:
            return b"".join(pieces)
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise Refused(f"it is larger than {most >> 20} MiB")


def _connection(scheme: str, host: str, port: int | None, until: float) -> http.client.HTTPConnection:
    """Return a connection to a public address of the host, made."""
    default = 443 if scheme == "https" else 80
    address = _public_address(host, port or default)
    plain = socket.create_connection(address, min(_CONNECT_SECONDS, _left(until)))
    plain.settimeout(_left(until))
    try:
        connection = http.client.HTTPConnection(host, port or default)
        if scheme == "https":
            connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        else:
            connection.sock = plain
    except BaseException:
        plain.close()
        raise
    return connection


def _public_address(host: str, port: int) -> tuple[str, int]:
    """Return the first address of a host, all of which must be public.

    Raises:
        OSError: the host has no address, or one that is not public.
    """
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(info[4][0]) for info in infos]
    for address in addresses:
        if not is_public(address):
            raise Refused(f"its host {host[:80]} is no public one")
    return addresses[0], port


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet; one of IPv4 within IPv6 counts as what it is."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
        if parsed in ipaddress.ip_network("64:ff9b::/96"):
            return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
    return parsed.is_global and not parsed.is_multicast


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise Refused(f"it takes longer than {MOST_SECONDS:.0f} s")
    return left
