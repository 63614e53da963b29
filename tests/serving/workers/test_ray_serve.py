"""The application as a deployment of Ray Serve, on a local Ray of two replicas."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from residua.serving.service import Service
from residua.serving.settings import Settings
from residua.serving.workers import ray_serve

RAW = {"Inference-Header-Content-Length": "0"}


@pytest.fixture(scope="module")
def address(exported: Path) -> Iterator[str]:
    """The address of two replicas that serve an export."""
    ray = pytest.importorskip("ray", reason="no ray: pip install 'residua[ray]'")
    serve = pytest.importorskip("ray.serve", reason="no ray.serve: pip install 'residua[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with warnings.catch_warnings():
        # Ray's own code warns on the way; what the tests see is ours.
        warnings.simplefilter("ignore")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        try:
            serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config={"log_level": "ERROR"})
            options = {"num_replicas": 2, "ray_actor_options": {"num_cpus": 0.5}}
            serve.run(ray_serve.deployment({"a": {"1": exported}}, **options), name="residua", route_prefix="/")
            yield f"http://127.0.0.1:{port}"
        finally:
            serve.shutdown()
            ray.shutdown()


def test_the_same_application_answers(address: str, images: dict[str, Path]) -> None:
    red = images["red"].read_bytes()
    with httpx.Client(base_url=address, timeout=30, trust_env=False) as http:
        assert http.get("/v2/health/ready").json() == {"live": True, "ready": True}
        assert http.get("/v2").json()["name"] == "residua"
        people = http.post("/predict", content=red).json()
        assert people["images"][0]["labels"][0] == "red"
        answer = http.post("/v2/models/a/infer", content=red, headers=RAW).json()
        logits = answer["outputs"][0]["data"]
        assert logits.index(max(logits)) == 0
        files = [("f", red), ("f", images["blue"].read_bytes())]
        assert len(http.post("/predict", files=files).json()["images"]) == 2
        refused = http.post("/v2/models/none/infer", content=red, headers=RAW)
        assert (refused.status_code, "none" in refused.json()["error"]) == (404, True)
        assert "Serving" in http.get("/").text or "<html" in http.get("/").text
        assert "residua_images_total" in http.get("/metrics").text


def test_a_replica_whose_model_broke_is_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(Settings())
    monkeypatch.setattr(ray_serve, "_services", [service])
    ray_serve.Replica().check_health()
    service.fatal = "a: its engine failed"
    with pytest.raises(ray_serve.Unhealthy, match="its engine failed"):
        ray_serve.Replica().check_health()
