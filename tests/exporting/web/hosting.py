"""Static folders behind a plain host of files, and a stand-in for the copy of ONNX Runtime Web."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

RUNTIME = os.environ.get("ONNXRUNTIME_WEB", "node_modules/onnxruntime-web")


def runtime_folder() -> Path:
    """Return the folder of onnxruntime-web; the test is skipped where there is none."""
    if not (Path(RUNTIME) / "package.json").is_file():
        pytest.skip("no onnxruntime-web: run npm install onnxruntime-web, or set $ONNXRUNTIME_WEB to its folder")
    return Path(RUNTIME)


def empty_runtime(folder: Path) -> Path:
    """Write a package of the right name whose files hold nothing: enough to export, not to open the page."""
    (folder / "dist").mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"name": "onnxruntime-web", "version": "0"}))
    for name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        (folder / "dist" / name).write_bytes(b"")
    return folder


@contextlib.contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """Yield the address under which a folder's files are served."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
