"""Networks of several families export with golden agreement; proofs/export_sweep.py does all of the catalog."""

from __future__ import annotations

import pytest

from exporting.sweep import swept


@pytest.mark.parametrize("format_", ["onnx", "openvino"])
@pytest.mark.parametrize("name", ["cifar_resnet20_v2", "cifar_densenet_bc40_12", "cifar_nin", "highway_mlp10"])
def test_a_network_exports(name: str, format_: str) -> None:
    outcome = swept(name, format_, side=32)
    assert outcome["answer"] == "passes", outcome
    assert outcome["agreement"] == 1
    assert outcome["error"] < 1e-4
