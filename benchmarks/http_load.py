"""Load on a web server, from a process of its own: a closed loop of clients, or arrivals at a rate.

    python benchmarks/http_load.py URL BODY [--seconds 10] [--clients 8 | --rate 50 [--even]] [--header NAME=VALUE]

Needs Python alone. Sends the file BODY by POST over kept connections and prints one JSON document: answers and errors,
answers per second, latencies in seconds. Of arrivals at a rate, a latency counts from the planned time: a server that
falls behind cannot hide it (no coordinated omission).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_LONGEST_SECONDS = 60.0


@dataclass
class Load:
    """What a load gave.

    Attributes:
        latencies: of answers with status 200, seconds.
        statuses: how often each came; "error" for a connection that broke.
        seconds: from the first request to the last answer.
    """

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers."""
        times = sorted(self.latencies)

        def share(part: float) -> float | None:
            return times[min(len(times) - 1, int(part * len(times)))] if times else None

        return {
            "answers": len(times),
            "per_second": len(times) / self.seconds if self.seconds else 0.0,
            "p50": share(0.5),
            "p99": share(0.99),
            "largest": times[-1] if times else None,
            "statuses": dict(self.statuses),
            "seconds": self.seconds,
        }


class Client:
    """One connection, made again where it breaks."""

    def __init__(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        head = [f"POST {parts.path or '/'}{'?' + parts.query if parts.query else ''} HTTP/1.1"]
        head += [f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        self._request = "\r\n".join([*head, "", ""]).encode() + body
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self) -> str:
        """Send the request and return the status of the answer, "error" where the connection broke."""
        try:
            async with asyncio.timeout(_LONGEST_SECONDS):
                return await self._ask()
        except (OSError, EOFError, TimeoutError, ValueError):
            if self._streams:
                self._streams[1].close()
            self._streams = None
            return "error"

    async def _ask(self) -> str:
        if self._streams is not None and self._streams[0].at_eof():
            # The server has closed a connection that stood idle: any client then opens another.
            self._streams[1].close()
            self._streams = None
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status, _, fields = head.partition("\r\n")
        names = dict(line.split(": ", 1) for line in fields.strip().split("\r\n"))
        if "content-length" in names:
            await reader.readexactly(int(names["content-length"]))
        else:
            while (size := int((await reader.readline()).split(b";")[0], 16)) or not await reader.readline():
                await reader.readexactly(size + 2)
        if names.get("connection") == "close":
            writer.close()
            self._streams = None
        return status.split()[1]

    def close(self) -> None:
        """Close the connection."""
        if self._streams:
            self._streams[1].close()


async def closed_loop(clients: list[Client], seconds: float, pause: float = 0.0) -> Load:
    """Let each client ask again as soon as it has its answer, or `pause` seconds on average after that."""
    load, start = Load(), time.perf_counter()
    chance = random.Random(0)

    async def one(client: Client) -> None:
        while time.perf_counter() - start < seconds:
            if pause:
                await asyncio.sleep(chance.expovariate(1 / pause))
            began = time.perf_counter()
            status = await client.ask()
            load.statuses[status] += 1
            if status == "200":
                load.latencies.append(time.perf_counter() - began)

    await asyncio.gather(*(one(client) for client in clients))
    load.seconds = time.perf_counter() - start
    return load


async def open_loop(make: Any, seconds: float, rate: float, connections: int, *, even: bool = False) -> Load:
    """Send requests at random times, `rate` per second on average, whatever the answers take; or at equal distances.

    A request for which no connection is free any more is counted as "not sent".
    """
    load, start = Load(), time.perf_counter()
    chance = random.Random(0)
    free: list[Client] = []
    working: set[asyncio.Task[None]] = set()
    planned = start

    async def one(client: Client, due: float) -> None:
        status = await client.ask()
        load.statuses[status] += 1
        if status == "200":
            load.latencies.append(time.perf_counter() - due)
        free.append(client)

    while (planned := planned + (1 / rate if even else chance.expovariate(rate))) < start + seconds:
        await asyncio.sleep(max(0.0, planned - time.perf_counter()))
        if not free and len(working) >= connections:
            load.statuses["not sent"] += 1
            continue
        task = asyncio.create_task(one(free.pop() if free else make(), planned))
        working.add(task)
        task.add_done_callback(working.discard)
    await asyncio.gather(*working)
    load.seconds = time.perf_counter() - start
    return load


def main() -> int:
    """Load the server and print what it gave."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("body", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--even", action="store_true", help="with --rate: at equal distances, not at random times")
    parser.add_argument("--connections", type=int, default=256, help="with --rate, at most")
    parser.add_argument("--header", action="append", default=[])
    options = parser.parse_args()
    headers = dict(each.split("=", 1) for each in options.header)
    body = options.body.read_bytes()

    def make() -> Client:
        return Client(options.url, body, headers)

    if options.rate:
        load = asyncio.run(open_loop(make, options.seconds, options.rate, options.connections, even=options.even))
    else:
        load = asyncio.run(closed_loop([make() for _ in range(options.clients)], options.seconds, options.pause))
    print(json.dumps(load.to_dict()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
