"""Networks of several families export with golden agreement; proofs/export_sweep.py does all of the catalog."""

from __future__ import annotations

import pytest

from exporting.sweep import folded, swept
from residua.runtime.graphs import fold


@pytest.mark.parametrize("format_", ["onnx", "openvino"])
@pytest.mark.parametrize("name", ["cifar_resnet20_v2", "cifar_densenet_bc40_12", "cifar_nin", "highway_mlp10"])
def test_a_network_exports(name: str, format_: str) -> None:
    outcome = swept(name, format_, side=32)
    assert outcome["answer"] == "passes", outcome
    assert outcome["agreement"] == 1
    assert outcome["error"] < 1e-4


def test_the_sweep_sees_a_wrong_folding(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = folded("cifar_resnet8", side=32)
    assert (outcome["answer"], outcome["agreement"]) == ("passes", 1)
    assert 0 < outcome["error"] < 1e-12
    monkeypatch.setattr(fold, "_factors", lambda norm: (norm.weight.double(), norm.bias.double()))
    assert folded("cifar_resnet8", side=32)["answer"] == "fails"
