"""A Hub on 127.0.0.1: what a repository's files and headers look like there, large files redirected to a store."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torchvision.models._api import Weights, WeightsEnum
from torchvision.transforms._presets import ImageClassification

from residua.weights.published import catalog
from residua.weights.published.catalog import Location, PublishedWeights, published_weights, weights_of
from servers import Behaviour

_TRUE_ROWS = published_weights()

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


def served_row(
    server: Behaviour, resnet18: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> PublishedWeights:
    """Move the catalog's first row of ResNet-18 to the server: a file, and a repository with the same weights."""
    content = pickled(resnet18)
    digest = hashlib.sha256(content).hexdigest()[:8]
    server.files[f"/resnet18-{digest}.pth"] = content
    publish(server, "timm/resnet18.tv_in1k", {"model.safetensors": safetensors.torch.save(resnet18)})
    locations = (
        Location(f"{server.address}/resnet18-{digest}.pth", digest),
        Location("hf://timm/resnet18.tv_in1k", ""),
    )
    row = dataclasses.replace(weights_of("resnet18")[0], locations=locations)
    rows = (row, *(each for each in _TRUE_ROWS if (each.network, each.name) != (row.network, row.name)))
    monkeypatch.setattr(catalog, "published_weights", lambda: rows)
    monkeypatch.setattr("residua.cli.commands.weights.published_weights", lambda: rows)

    class Catalogue(WeightsEnum):
        IMAGENET1K_V1 = Weights(locations[0].address, partial(ImageClassification, crop_size=224), {})

    monkeypatch.setattr("torchvision.models.get_model_weights", lambda _: Catalogue)
    return row
