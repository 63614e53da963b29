"""`residua serve`: one call of `serve`, its address printed when it answers."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from residua._base.errors import InputError
from residua.cli.score_flags import COMPUTING, Computing
from residua.cli.show import Switch, note, print_json, say
from residua.serving.settings import Limits, Settings

_TOKEN = "RESIDUA_TOKEN"
_PACKAGES = ("starlette", "uvicorn", "python_multipart", "prometheus_client")


def serve(
    *runs: str,
    host: str = Settings.host,
    port: int = Settings.port,
    computing: Computing = COMPUTING,
    max_batch: int = Settings.max_batch,
    queue: int = Settings.queue,
    timeout: float = Settings.timeout,
    drain: float = Settings.drain,
    grace: float = Settings.grace,
    stall: float = Settings.stall,
    workers: int = Settings.workers,
    token_file: Path | None = None,
    origin: Annotated[tuple[str, ...], Parameter(negative_iterable=())] = (),
    repository: Path | None = None,
    max_body: int = Limits.body_bytes,
    max_images: int = Limits.images,
    max_pixels: int = Limits.pixels,
    json: Switch = False,
) -> int:
    """Answer images over HTTP with trained runs.

    Speaks the Open Inference Protocol at /v2, takes photos at /predict, and has a page at /. SIGTERM and Ctrl-C end it:
    requests that have begun are answered first. Exit code 1: some were cut off.

    Parameters
    ----------
    runs
        Folders of trained runs or of exports. The folder's name is the model's; NAME=FOLDER and NAME:VERSION=FOLDER
        give another.
    host
        The address to listen on. Any other than this machine's own should come with a token.
    port
        The port; 0 for any free one.
    max_batch
        Images per forward pass, at most. It never waits for more than there are.
    queue
        Images that may wait, per model; more are refused with 503.
    timeout
        Seconds until a request that is not answered is given up; a request may ask for less.
    drain
        Seconds that requests may take to end after SIGTERM.
    grace
        Seconds between SIGTERM, when "ready" becomes 503, and the end of new connections.
    stall
        Seconds of one forward pass after which the engine counts as hung; the process that computes then ends.
    workers
        Processes that speak HTTP and decode. With more than one, a further process computes for all of them: models
        are in memory once. What dies is started again.
    token_file
        A file that holds the bearer token which clients must send; or the variable RESIDUA_TOKEN.
    origin
        Another site whose pages may call this server, such as https://example.org.
    repository
        A folder of runs and exports, which clients may load and unload by name.
    max_body
        Bytes of a request, at most, before and after decompression.
    max_images
        Images of a request, at most.
    max_pixels
        Pixels of an image, at most; read from its header before it is decoded.
    json
        Print one JSON document when it answers: address and models.
    """
    _check_installed()
    from residua.serving.networks.sources import named_sources
    from residua.serving.server import Listener
    from residua.serving.server import serve as serve_runs

    settings = Settings(
        host=host,
        port=port,
        engine=computing.engine,
        precision=computing.precision,
        device=computing.device,
        max_batch=max_batch,
        queue=queue,
        timeout=timeout,
        drain=drain,
        grace=grace,
        stall=stall,
        workers=workers,
        token=token_in(token_file),
        origins=origin,
        repository=repository,
        limits=Limits(body_bytes=max_body, images=max_images, pixels=max_pixels),
    )

    def announce(listening: Listener) -> None:
        models = [{"name": name, "version": version} for name, version in listening.models]
        if json:
            print_json({"url": listening.url, "models": models})
            sys.stdout.flush()
        else:
            names = ", ".join(f"{name} (version {version})" for name, version in listening.models)
            say(f"Serving {names or 'no model yet'} at {listening.url}", flush=True)
        if listening.warning:
            note(f"Warning: {listening.warning}")

    return serve_runs(named_sources(runs), settings, announce)


def _check_installed() -> None:
    from importlib.util import find_spec

    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise InputError(
            f"no {', '.join(missing)}", "the packages of a server", "Install them: pip install 'residua[serve]'"
        )


def token_in(path: Path | None) -> str | None:
    """Return the token in a file, or in the variable RESIDUA_TOKEN, or None.

    Raises:
        InputError: a file that cannot be read, or is empty.
    """
    if path is None:
        return os.environ.get(_TOKEN) or None
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"token_file={str(path)!r} ({error})", "a text file with one token", "Check it") from None
    if not text:
        raise InputError(f"token_file={str(path)!r}, which is empty", "a text file with one token", "Write one into it")
    return text
