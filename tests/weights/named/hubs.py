"""A Hub on 127.0.0.1: what a repository's files and headers look like there, large files redirected to a store."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path

import torch

from servers import Behaviour

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def publish(hub: Behaviour, repository: str, files: Mapping[str, bytes], revision: str = "main") -> None:
    """Serve the files as the Hub does: tensors by redirect to a store, the others directly."""
    for name, content in files.items():
        for reference in (revision, COMMIT):
            path = f"/{repository}/resolve/{reference}/{name}"
            hub.headers[path] = {"X-Repo-Commit": COMMIT}
            if name.endswith((".safetensors", ".bin")):
                sha256 = hashlib.sha256(content).hexdigest()
                hub.headers[path] |= {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(content))}
                hub.redirects[path] = f"{hub.address}/store/{sha256}"
                hub.files[f"/store/{sha256}"] = content
            else:
                blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
                hub.headers[path]["ETag"] = f'"{blob}"'
                hub.files[path] = content


def folder_files(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def pickled(state: dict[str, torch.Tensor]) -> bytes:
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def same(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    own = network.state_dict()
    return own.keys() == state.keys() and all(
        torch.equal(own[name], t.to(own[name].dtype)) for name, t in state.items()
    )


def put(server: Behaviour, name: str, content: bytes) -> str:
    server.files[f"/{name}"] = content
    return f"{server.address}/{name}#sha256={hashlib.sha256(content).hexdigest()}"
