"""One core for a process: signals find their stack after models came and went, in whatever order and thread."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMES_AND_GOES = """
import os, signal, threading
import numpy as np
import openvino
from openvino import opset13 as operators
from residua.runtime.engines.sessions import OpenVINOSession

def session():
    images = operators.parameter([-1, 3, 4, 4], np.float32, name="images")
    model = openvino.Model([operators.reduce_mean(images, np.array([2, 3]))], [images])
    return OpenVINOSession(model, "fp32", 1)

signal.signal(signal.SIGTERM, lambda *_: print("handled"))
sessions = [session(), session()]
for _ in range(2):
    thread = threading.Thread(target=sessions.pop, args=(0,))
    thread.start()
    thread.join()
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_signal_is_handled_after_models_are_closed() -> None:
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", COMES_AND_GOES], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
