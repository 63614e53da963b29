"""KServe's InferenceRESTClient against our server, where the variable KSERVE_PYTHON names its interpreter."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving.running import Running

SCRIPT = Path(__file__).parents[2] / "proofs" / "kserve_client.py"


def test_kserve_client(server: Running, images: dict[str, Path]) -> None:
    python = os.environ.get("KSERVE_PYTHON") or (sys.executable if importlib.util.find_spec("kserve") else "")
    if not python:
        pytest.skip("no kserve: its pins contradict ours; see proofs/kserve_client.py")
    url = f"http://127.0.0.1:{server.port}"
    words = [python, str(SCRIPT), "--client", url, str(images["red"])]
    done = json.loads(subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert len(done) == 9
    assert all(done.values()), done
