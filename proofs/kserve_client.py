"""Proof: KServe's own client, InferenceRESTClient, works against our server.

    python -m venv kserve && kserve/bin/pip install kserve
    .venv/bin/python proofs/kserve_client.py --python kserve/bin/python

KServe's pins contradict ours: its client runs in an environment of its own, against a server that this script starts.
The outcome goes to docs/proofs/kserve_client.json; exit 1 when a check fails. A test runs the same checks, where the
environment variable KSERVE_PYTHON names such an interpreter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
OUTCOME = ROOT / "docs" / "proofs" / "kserve_client.json"


async def checks(url: str, image: bytes) -> dict[str, bool]:
    """Return what the client saw, by check; this part runs where KServe is installed."""
    import numpy as np
    from httpx import HTTPStatusError
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
    from kserve.protocol.infer_type import RequestedOutput

    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    done = {"live": await client.is_server_live(url), "ready": await client.is_server_ready(url)}
    done["model ready"] = await client.is_model_ready(url, "a")
    done["unknown model is not ready"] = not await client.is_model_ready(url, "none")

    def request(value: np.ndarray[Any, Any], name: str, kind: str, binary: bool, **options: Any) -> InferRequest:
        entry = InferInput(name, list(value.shape), kind)
        entry.set_data_from_numpy(value, binary_data=binary)
        return InferRequest("a", [entry], **options)

    tensor = np.zeros((2, 3, 8, 8), np.float32)
    tensor[0, 0], tensor[1, 2] = 1, 1  # red, blue
    for binary in (False, True):
        answer = await client.infer(url, request(tensor, "tensor", "FP32", binary, request_id="7"), model_name="a")
        logits = answer.outputs[0].as_numpy()
        done[f"tensor, binary_data={binary}"] = logits.argmax(1).tolist() == [0, 2] and answer.id == "7"
    answer = await client.infer(url, request(np.array([image], object), "image", "BYTES", True), model_name="a")
    done["image"] = answer.outputs[0].as_numpy().argmax(1).tolist() == [0]
    wanted = [RequestedOutput("probabilities", {"classification": 1, "binary_data": False})]
    answer = await client.infer(url, request(tensor, "tensor", "FP32", True, request_outputs=wanted), model_name="a")
    labels = [str(each).rpartition(":")[2] for each in answer.outputs[0].data]
    done["classification"] = labels == ["red", "blue"]
    try:
        await client.infer(url, request(tensor[:, :, :4], "tensor", "FP32", True), model_name="a")
        done["an error is HTTPStatusError with our text"] = False
    except HTTPStatusError as error:
        done["an error is HTTPStatusError with our text"] = "shape" in str(error) and error.response.status_code == 400
    await client.close()
    return done


def main() -> int:
    """Start a server and let the client's interpreter run the checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="an interpreter with kserve")
    parser.add_argument("--client", nargs=2, metavar=("URL", "IMAGE"), help="run the checks here, print them as JSON")
    options = parser.parse_args()
    if options.client:
        url, image = options.client
        print(json.dumps(asyncio.run(checks(url, Path(image).read_bytes()))))
        return 0
    if not options.python:
        print("Skipped: no --python with kserve installed", file=sys.stderr)
        return 0
    sys.path.insert(0, str(ROOT / "tests"))
    from evaluation.runs import colour_run, paint
    from serving.commands import started

    with tempfile.TemporaryDirectory() as folder:
        run, image = colour_run(Path(folder, "a")), paint(Path(folder, "red.png"), (255, 0, 0), 20)
        with started(str(run)) as (_, document):
            words = [options.python, __file__, "--client", document["url"], str(image)]
            text = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    version = subprocess.run(
        [options.python, "-c", "import importlib.metadata as m; print(m.version('kserve'))"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    done = json.loads(text)
    OUTCOME.write_text(json.dumps({"kserve": version, "checks": done}, indent=2) + "\n", encoding="utf-8")
    print(f"kserve {version}: {sum(done.values())} of {len(done)} checks hold")
    return 0 if all(done.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
