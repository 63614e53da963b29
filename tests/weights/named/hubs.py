"""A Hub on 127.0.0.1: what a repository's files and headers look like there, large files redirected to a store."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

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
