"""What a replica of Ray Serve runs; proofs/ray_serve.py holds a local Ray against the server itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from residua.serving.settings import Settings
from residua.serving.workers import ray_serve


def test_a_replica_answers(run_folder: Path, images: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_serve, "_services", [])
    app = ray_serve.replica_app({"a": {"1": run_folder}}, Settings())

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as http,
        ):
            return await http.post("/predict", content=images["red"].read_bytes())

    answer = asyncio.run(ask())
    assert answer.json()["images"][0]["labels"][0] == "red"
    replica = ray_serve.Replica()
    replica.check_health()
    ray_serve._services[0].fatal = "a: its engine failed"
    with pytest.raises(ray_serve.Unhealthy, match="its engine failed"):
        replica.check_health()
