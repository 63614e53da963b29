"""Runs of networks that timm has open in timm, and give the same logits."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from residua._base.run_files import CONFIG_FILE
from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec, default_preprocess
from residua.specs.schema import Spec
from residua.weights.bundle.config import config_of, timm_name
from residua.weights.bundle.value import Bundle
from residua.weights.bundle.write import save_bundle
from residua.weights.peers.same_network import PEER_NETWORKS

timm = pytest.importorskip("timm")


def test_timm_opens_a_resnet18(tmp_path: Path) -> None:
    spec = get_spec("resnet18", num_classes=3)
    torch.manual_seed(0)
    model = build(spec).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if "running" in name:
                tensor.uniform_(0.5, 1.5)
    save_bundle(
        tmp_path,
        tensors=model.state_dict(),
        spec=spec,
        classes=("ant", "bee", "cat"),
        preprocess=PreprocessSpec(160, 182, "bicubic"),
        metrics={},
        data={},
    )
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(theirs(images), model(images), rtol=1e-5, atol=1e-6)
    assert theirs.pretrained_cfg["label_names"] == ["ant", "bee", "cat"]
    assert theirs.num_classes == 3
    wanted = timm.data.resolve_data_config({}, model=theirs)
    assert (tuple(wanted["input_size"]), wanted["interpolation"]) == ((3, 160, 160), "bicubic")
    resize = timm.data.create_transform(**wanted).transforms[0]
    assert resize.size == 182


@pytest.mark.parametrize("name", list(PEER_NETWORKS["timm"]))
def test_every_network_named_to_timm_has_its_keys_and_shapes(name: str) -> None:
    network = PEER_NETWORKS["timm"][name]
    spec = get_spec(name, **network.edits)
    with torch.device("meta"):
        ours, theirs = build(spec).state_dict(), timm.create_model(network.name)
    keys = {key: tensor.shape for key, tensor in theirs.state_dict().items()}
    same = {key: tensor.shape for key, tensor in ours.items()} == keys
    assert same == network.same_keys
    assert timm_name(spec) == (network.name if same else None)
    if same:
        document = config_of(_bundle(spec))
        ends = document["pretrained_cfg"]
        assert ends["first_conv"] == theirs.pretrained_cfg["first_conv"]
        assert ends["classifier"] == theirs.pretrained_cfg["classifier"]


def _bundle(spec: Spec) -> Bundle:
    return Bundle(Path("nowhere"), spec, tuple(map(str, range(1000))), default_preprocess(224))


def test_edited_networks_are_not_named_to_timm(tmp_path: Path) -> None:
    assert timm_name(get_spec("resnet18", num_classes=7, input_size=64)) == "resnet18"
    for edited in (get_spec("resnet18", shortcut="none"), get_spec("resnet18", bn_eps=1e-3), get_spec("resnet18_v2")):
        assert timm_name(edited) is None
        document = config_of(_bundle(edited))
        assert document["library_name"] == "residua"
        assert document["architecture"] == f"residua:{edited.name}"
        (tmp_path / CONFIG_FILE).write_text(json.dumps(document))
        with pytest.raises(RuntimeError, match="Unknown model"):
            timm.create_model(f"local-dir:{tmp_path}")


def test_the_crop_comes_back_to_the_same_resize() -> None:
    for size in range(1, 400, 3):
        for resize in range(size, size + 200, 7):
            assert math.floor(size / PreprocessSpec(size, resize).crop_share) == resize
