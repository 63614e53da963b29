"""Weights by name from servers on this machine: torchvision's, timm's, the Hub's, an address, a path."""

from __future__ import annotations

import hashlib
import io
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torchvision.models._api import Weights as PublishedWeights
from torchvision.models._api import WeightsEnum
from torchvision.transforms._presets import ImageClassification

import residua
from residua._base.errors import InputError
from residua._base.places import cache_root
from residua.specs.preprocess import PreprocessSpec, default_preprocess
from residua.weights.create import create_model
from residua.weights.identity import Target
from residua.weights.named.locate import locate
from residua.weights.named.resolve import resolve
from servers import Behaviour
from weights.bundles import save_tiny, tiny_model, tiny_spec
from weights.named.hubs import pickled, publish, put, same

# torchvision


@pytest.fixture
def torchvisions(server: Behaviour, resnet18: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> Behaviour:
    """torchvision's catalogue of ResNet-18's weights, with its second version on the server."""
    content = pickled(resnet18)
    name = f"/resnet18-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    server.files[name] = content

    class Catalogue(WeightsEnum):
        IMAGENET1K_V1 = PublishedWeights(f"{server.address}/resnet18-00000000.pth", ImageClassification, {})
        IMAGENET1K_V2 = PublishedWeights(
            server.address + name,
            partial(ImageClassification, crop_size=224, resize_size=232),
            {"categories": [f"kind {number}" for number in range(1000)]},
        )
        DEFAULT = IMAGENET1K_V2

    monkeypatch.setattr("torchvision.models.get_model_weights", lambda _: Catalogue)
    return server


@pytest.mark.parametrize("tag", ["IMAGENET1K_V2", "DEFAULT"])
def test_torchvisions_weights_by_name(torchvisions: Behaviour, resnet18: dict[str, torch.Tensor], tag: str) -> None:
    network = create_model("resnet18", weights=f"torchvision:{tag}")
    assert same(network, resnet18)
    provenance = network.provenance
    assert provenance is not None
    assert (provenance.given, provenance.source, provenance.fresh, provenance.adapted) == (
        f"torchvision:{tag}",
        "torchvision",
        (),
        (),
    )
    assert provenance.preprocess == PreprocessSpec(224, 232)
    assert provenance.classes[:2] == ("kind 0", "kind 1")
    create_model("resnet18", weights=f"torchvision:{tag}")
    assert len(torchvisions.asked) == 1


def test_what_torchvision_does_not_have_is_named(torchvisions: Behaviour) -> None:
    with pytest.raises(InputError, match=r"one of IMAGENET1K_V1, IMAGENET1K_V2, DEFAULT.*Did you mean IMAGENET1K_V2"):
        create_model("resnet18", weights="torchvision:IMAGENET1K_V3")
    with pytest.raises(InputError, match="resnet50_v1, which torchvision does not have"):
        create_model("resnet50_v1", weights="torchvision:DEFAULT")
    with pytest.raises(InputError, match=r"bn_eps=0\.001 \(there 1e-05\): it would compute something else"):
        create_model("resnet18", weights="torchvision:DEFAULT", bn_eps=1e-3)
    with pytest.raises(InputError, match=r"without a network.*model='alexnet'"):
        residua.load("torchvision:DEFAULT")
    assert not torchvisions.asked
    with pytest.raises(InputError, match="404"):
        create_model("resnet18", weights="torchvision:IMAGENET1K_V1")


def test_a_wrong_hash_is_refused(torchvisions: Behaviour) -> None:
    path = next(iter(torchvisions.files))
    torchvisions.files[path] = torchvisions.files[path][:-1] + b"?"
    with pytest.raises(InputError, match="SHA-256"):
        create_model("resnet18", weights="torchvision:DEFAULT")
    assert not list(cache_root().rglob("*.pth*[!k]"))


def test_weights_of_torchvision_load_as_a_run(torchvisions: Behaviour) -> None:
    run = residua.load("torchvision:IMAGENET1K_V2", model="resnet18")
    assert (run.spec.name, run.preprocess_spec.resize, run.classes[999]) == ("resnet18", 232, "kind 999")
    assert not run.model.training
    assert run.model(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


def test_weights_of_torchvision_load_at_another_stride(
    torchvisions: Behaviour, resnet18: dict[str, torch.Tensor]
) -> None:
    edits: dict[str, Any] = {"output_stride": 8, "init": "he_truncated", "head_dropout": 0.5}
    backbone = create_model("resnet18", weights="torchvision:DEFAULT", features_only=True, **edits)
    assert backbone.strides[-1] == 8
    assert all(torch.equal(t, resnet18[name].to(t.dtype)) for name, t in backbone.network.state_dict().items())


def test_the_true_catalogue_holds_address_hash_and_preprocessing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is downloaded: what would be asked for is looked at."""
    monkeypatch.delenv("RESIDUA_OFFLINE")
    asked: list[Any] = []

    def note(remote: Any) -> Path:
        asked.append(remote)
        return Path(__file__)

    monkeypatch.setattr("residua.weights.named.published_file.fetch_to_cache", note)
    found = locate("torchvision:IMAGENET1K_V2", residua.get_spec("resnet50"))
    assert asked[0].url == "https://download.pytorch.org/models/resnet50-11ad3fa6.pth"
    assert asked[0].digest == "11ad3fa6"
    assert (found.preprocess, len(found.classes)) == (PreprocessSpec(224, 232), 1000)
    halves = locate("torchvision:DEFAULT", residua.get_spec("googlenet_bn")).preprocess
    assert halves == PreprocessSpec(224, 256, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    assert locate("torchvision:DEFAULT", residua.get_spec("inception_v3")).preprocess.resize == 342  # type: ignore[union-attr]


# timm


@pytest.mark.parametrize("tag", ["a1_in1k", "resnet18.a1_in1k"])
def test_timms_weights_by_name(server: Behaviour, resnet18: dict[str, torch.Tensor], tag: str) -> None:
    pytest.importorskip("timm")
    publish(server, "timm/resnet18.a1_in1k", {"model.safetensors": safetensors.torch.save(resnet18)})
    network = create_model("resnet18", weights=f"timm:{tag}")
    assert same(network, resnet18)
    provenance = network.provenance
    assert provenance is not None
    assert provenance.source == "timm"
    assert provenance.preprocess == PreprocessSpec(224, 235, "bicubic")
    with pytest.raises(InputError, match=r"one of .*a1_in1k.*Did you mean a1_in1k"):
        create_model("resnet18", weights="timm:a1_in1")
    with pytest.raises(InputError, match="which timm does not have"):
        create_model("resnet50_v1", weights="timm:DEFAULT")


def test_without_timm_its_extra_is_named(server: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install \"residua\[timm\]\".*hf://timm/resnet50\.bamboo"):
        create_model("resnet50", weights="timm:bamboo")  # Of those of the catalog nobody needs timm.


# Addresses


def test_an_address_with_a_hash(server: Behaviour, resnet18: dict[str, torch.Tensor]) -> None:
    address = put(server, "w.safetensors", safetensors.torch.save(resnet18))
    server.breaks = [1_000_000, 2_000_000]
    assert same(create_model("resnet18", weights=address), resnet18)
    assert [each.range for each in server.asked] == [None, "bytes=1000000-", "bytes=3000000-"]
    with pytest.raises(InputError, match="SHA-256"):
        create_model("resnet18", weights=address[:-1] + ("0" if address[-1] != "0" else "1"))


@pytest.mark.parametrize("fragment", ["", "#md5=0", "#sha256=", "#sha256=abcdef12", "#main"])
def test_an_address_without_a_hash_is_refused_with_the_remedy(server: Behaviour, fragment: str) -> None:
    with pytest.raises(InputError, match=r"#sha256=.*sha256sum FILE"):
        create_model("resnet18", weights=f"{server.address}/w.pth{fragment}")
    assert not server.asked


def test_a_name_that_ends_in_its_hash_is_enough(server: Behaviour) -> None:
    content = pickled(tiny_model().state_dict())
    name = f"net-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    server.files[f"/{name}"] = content
    assert same(create_model(tiny_spec(), weights=f"{server.address}/{name}"), tiny_model().state_dict())


def test_a_pickle_that_would_run_code_is_refused(server: Behaviour, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "executed",)

    stream = io.BytesIO()
    torch.save(Trap(), stream)
    with pytest.raises(InputError, match="nothing was executed"):
        create_model(tiny_spec(), weights=put(server, "w.pth", stream.getvalue()))
    assert not (tmp_path / "executed").exists()


# Paths


def test_a_path_that_looks_like_a_name_is_asked_after(tmp_path: Path) -> None:
    for name, remedy in (
        ("DEFAULT", "torchvision:DEFAULT"),
        ("org/repo", "hf://org/repo"),
        ("a/w.pth", "Check the path"),
    ):
        with pytest.raises(InputError, match=rf"does not exist.*hf://ORG/REPO.*{remedy}"):
            create_model("resnet18", weights=name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds neither"):
        create_model("resnet18", weights=tmp_path / "empty")


def test_a_bare_file_does_not_say_its_network(tmp_path: Path) -> None:
    torch.save(tiny_model().state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"which of our networks.*model=NAME"):
        resolve(tmp_path / "w.pth")
    found = resolve(tmp_path / "w.pth", Target(tiny_spec(num_classes=7)))
    assert (found.spec.num_classes, found.preprocess, found.classes) == (3, default_preprocess(32), ())


def test_a_damaged_bundle_in_the_hubs_layout_is_no_strangers(tmp_path: Path) -> None:
    path = save_tiny(tmp_path)
    damaged = path.read_bytes().replace(b'"residua":"{', b'"resiDua":"{', 1)
    path.write_bytes(damaged)
    with pytest.raises(InputError):
        residua.load(tmp_path)
    with pytest.raises(InputError):
        create_model(tiny_spec(), weights=tmp_path)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="is no address"):
        create_model("cifar_resnet20", weights=f"http://[::1/x.pth#sha256={'6' * 64}")
