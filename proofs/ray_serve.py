"""Proof: the application answers as a deployment of Ray Serve, on a local Ray of two replicas.

    .venv/bin/python proofs/ray_serve.py

Needs the extras `ray`, `serve` and `openvino`. Ray's controller, its proxy and the replicas are processes that each
import Ray: this takes a minute, and is no part of the tests for that. The outcome goes to docs/proofs/ray_serve.json;
exit 1 when an answer is not that of the server itself.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
OUTCOME = ROOT / "docs" / "proofs" / "ray_serve.json"
_PATIENCE = {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "240"}
_TRIES = 4  # of a minute each, which Ray gives its proxy to start: too little on a busy machine
REPLICAS = 2


def checks(ray_url: str, own_url: str, red: bytes, blue: bytes) -> dict[str, bool]:
    """Return whether Ray's answers are the server's own, by address."""
    import httpx

    raw = {"Inference-Header-Content-Length": "0"}
    done: dict[str, bool] = {}
    with httpx.Client(timeout=60, trust_env=False) as http:

        def same(name: str, status: int, method: str, path: str, **options: Any) -> None:
            theirs, ours = (http.request(method, url + path, **options) for url in (ray_url, own_url))
            texts = []
            for answer in (theirs, ours):
                try:
                    document = answer.json()
                    document.pop("milliseconds", None)
                    texts.append(document)
                except ValueError:
                    texts.append(answer.text)
            done[name] = theirs.status_code == ours.status_code == status and texts[0] == texts[1]

        same("ready", 200, "GET", "/v2/health/ready")
        same("metadata", 200, "GET", "/v2/models/a")
        same("an image", 200, "POST", "/predict", content=red)
        same("a form of images", 200, "POST", "/predict", files=[("f", red), ("f", blue)])
        same("inference", 200, "POST", "/v2/models/a/infer", content=red, headers=raw)
        same("an unknown model", 404, "POST", "/v2/models/none/infer", content=red, headers=raw)
        same("no image", 400, "POST", "/predict", content=b"x")
        same("the page", 200, "GET", "/")
        done["metrics"] = "residua_images_total" in http.get(ray_url + "/metrics").text
    return done


def main() -> int:
    """Start a local Ray, and the server itself beside it."""
    os.environ.update(_PATIENCE)
    import ray
    from ray import serve

    from evaluation.runs import colour_run, paint
    from residua.exporting.export import export
    from residua.serving.workers.ray_serve import deployment
    from serving.commands import started

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        run = colour_run(Path(folder, "a"))
        out = export(run, format="openvino", out=Path(folder, "out")).folder
        red, blue = (
            paint(Path(folder, f"{name}.png"), colour, 20).read_bytes()
            for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255)))
        )
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        try:
            for left in reversed(range(_TRIES)):
                try:
                    serve.start(http_options={"host": "127.0.0.1", "port": port})
                    break
                except TimeoutError:
                    if not left:
                        raise
            application = deployment({"a": {"1": out}}, num_replicas=REPLICAS, ray_actor_options={"num_cpus": 0.5})
            serve.run(application, name="residua", route_prefix="/")
            with started(f"a={out}") as (_, document):
                done = checks(f"http://127.0.0.1:{port}", document["url"], red, blue)
        finally:
            serve.shutdown()
            ray.shutdown()
    version = importlib.metadata.version("ray")
    OUTCOME.write_text(json.dumps({"ray": version, "replicas": REPLICAS, "checks": done}, indent=2) + "\n")
    print(f"ray {version}: {sum(done.values())} of {len(done)} answers are the server's own")
    return 0 if all(done.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
