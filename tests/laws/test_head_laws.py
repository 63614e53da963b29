"""Without a classifier, and without the global pool: what comes out, and who refuses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from laws.representatives import REPRESENTATIVES, image_for, network_for, spec_for
from residua._base.errors import InputError
from residua.anatomy import inspect
from residua.anatomy.drawing import draw
from residua.families.build import build
from residua.families.members import members
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.bundle.write import save_bundle
from residua.weights.create import create_model
from residua.weights.open import load

POOLED = [name for name in REPRESENTATIVES if hasattr(get_spec(name), "global_pool")]
GRIDS = {"cifar_highway19", "cifar_highway32"}


@pytest.mark.parametrize("name", REPRESENTATIVES)
@torch.no_grad()
def test_a_headless_network_gives_what_the_classifier_reads(name: str) -> None:
    network, image = network_for(name), image_for(name)
    bare = build(network.spec.edit(num_classes=None)).double().eval()
    assert bare.spec.num_classes == 0
    state = network.state_dict()
    bare.load_state_dict({key: state[key] for key in bare.state_dict()}, strict=True)
    left = {key.rsplit(".", 1)[0] for key in state.keys() - bare.state_dict().keys() if "ux" not in key}
    assert len(left) == 1, "the classifier, with weight and bias"
    last = network.get_submodule(left.pop())
    read: list[torch.Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, args: read.append(args[0].clone()))
    network(image)
    hook.remove()
    wanted = read[0].mean((2, 3)) if read[0].dim() == 4 else read[0]
    assert torch.allclose(bare(image), wanted, rtol=1e-12, atol=1e-12)
    points = bare.forward_intermediates(image)
    assert torch.equal([*points.values()][-1], bare(image))
    assert "logits" not in points
    assert isinstance(bare.train()(image), torch.Tensor), "no auxiliary head is left"
    assert members(bare.spec)[-1].head
    assert Spec.from_json(bare.spec.to_json()) == bare.spec
    anatomy = inspect(bare.spec)
    assert anatomy.params == sum(p.numel() for p in bare.parameters())
    assert draw(anatomy).startswith("<svg")


def test_a_drawing_without_a_classifier_names_none() -> None:
    for name in ("resnet50", "resnet50_v2_slim", "googlenet", "nin"):
        assert ">classifier<" in draw(inspect(name))
        drawn = draw(inspect(get_spec(name, num_classes=0)))
        assert ">pooled<" in drawn, name
        assert ">classifier<" not in drawn, name


def test_the_number_is_the_own_one_where_it_is_left_out() -> None:
    assert create_model("cifar_resnet8").spec.num_classes == 10
    assert create_model("cifar_resnet8", num_classes=None).spec.num_classes == 0
    assert create_model("cifar_resnet8", None)(torch.rand(2, 3, 32, 32)).shape == (2, 64)
    assert get_spec("resnet50", num_classes=None) == get_spec("resnet50", num_classes=0)


@pytest.mark.parametrize("name", POOLED)
@torch.no_grad()
def test_a_map_of_logits_averages_to_the_logits(name: str) -> None:
    """The classifier is linear: the mean of its answers is its answer to the mean."""
    if name in GRIDS:
        assert get_spec(name).grid == 1
    network = network_for(name)
    image = image_for(name)
    image = torch.nn.functional.interpolate(image, scale_factor=2.0)
    dense = build(network.spec.edit(global_pool=False)).double().eval()
    dense.load_state_dict(network.state_dict(), strict=True)
    logits = dense(image)
    features = dense.forward_features(image)
    assert logits.shape == (2, 10, *features.shape[2:])
    assert torch.allclose(logits.mean((2, 3)), network(image), rtol=1e-9, atol=1e-9)
    points = dense.forward_intermediates(image)
    assert torch.equal(points["logits"], logits)
    anatomy = inspect(dense.spec)
    assert anatomy.params == sum(p.numel() for p in dense.parameters())
    exported = torch.export.export(dense, (image,)).module()
    assert torch.allclose(exported(image), logits, rtol=1e-9)


@torch.no_grad()
def test_it_is_dense_with_an_output_stride() -> None:
    network = create_model("resnet50_v2_slim", 21, depths=(1, 1, 1, 1), global_pool=False, output_stride=8).eval()
    image = torch.rand(1, 3, 65, 97)
    assert network(image).shape == (1, 21, 9, 13)
    last = inspect(network.spec, (3, 65, 97)).layers[-1]
    assert (last.output, last.stride) == ((21, 9, 13), (8, 8))


def test_families_without_a_global_average_have_no_such_field() -> None:
    for name in ("alexnet", "vgg16", "highway_mlp10"):
        with pytest.raises(InputError, match="a network of a family that has it"):
            get_spec(name, global_pool=False)
    with pytest.raises(InputError, match="global_pool=False with grid=2"):
        get_spec("cifar_highway19", global_pool=False, grid=2)


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"num_classes": 0}, "num_classes=0 for training"),
        ({"global_pool": False}, "training with global_pool=False for cifar_resnet8"),
    ],
)
def test_training_refuses_them(edits: dict, words: str, tmp_path: Path) -> None:
    from residua.training.loop import train

    with pytest.raises(InputError) as caught:
        train("digits", "cifar_resnet8", out=tmp_path / "run", model_edits=edits, progress=False)
    assert words in str(caught.value)
    assert not (tmp_path / "run").exists()


def _saved(folder: Path, **edits: Any) -> Path:
    spec = spec_for("cifar_resnet20").edit(**edits)
    network = build(spec)
    classes = [f"class {number}" for number in range(spec.num_classes)]
    save_bundle(
        folder,
        tensors=network.state_dict(),
        spec=spec,
        classes=classes,
        preprocess=PreprocessSpec(32, 32, mean=(0.5,) * 3, std=(0.5,) * 3),
        metrics={},
        data={"given": "digits"},
    )
    return folder


@pytest.mark.parametrize("edits", [{"num_classes": 0}, {"global_pool": False}])
def test_a_bundle_keeps_them_and_evaluation_refuses_them(edits: dict, tmp_path: Path) -> None:
    from residua.evaluation.evaluate import evaluate
    from residua.inference.predict import predict

    folder = _saved(tmp_path / "run", **edits)
    run = load(folder)
    (key, value), *_ = edits.items()
    assert getattr(run.spec, key) == value
    assert len(run.classes) == run.spec.num_classes
    card = (run.save_pretrained(tmp_path / "card") / "README.md").read_text()
    assert ("image-feature-extraction" in card) == (key == "num_classes")
    assert "r.predict" not in card
    assert run.model(torch.rand(2, 3, 32, 32)).shape == ((2, 64) if key == "num_classes" else (2, 10, 8, 8))
    for call in (lambda: evaluate(folder, "digits"), lambda: predict(folder, [tmp_path])):
        with pytest.raises(InputError, match=f"evaluating, predicting or explaining with {key}={value}"):
            call()


def test_weights_come_without_their_classifier(tmp_path: Path) -> None:
    whole = load(_saved(tmp_path / "run"))
    spec = whole.spec
    bare = create_model(spec, num_classes=None, weights=tmp_path / "run")
    assert bare.provenance is not None
    assert bare.provenance.notes[-1] == "The classifier was left out: fc.weight, fc.bias."
    assert not bare.provenance.fresh
    for name, tensor in bare.state_dict().items():
        assert torch.equal(tensor, whole.model.state_dict()[name]), name
    # And back: a headless network's weights take a new classifier, by their number alone.
    _saved(tmp_path / "bare", num_classes=0)
    again = create_model(spec.edit(num_classes=7), num_classes=7, weights=tmp_path / "bare")
    assert again.provenance.fresh == ("fc.weight", "fc.bias")
    with pytest.raises(InputError, match="these weights have none"):
        create_model(spec, weights=tmp_path / "bare")


def test_published_weights_come_without_theirs(tmp_path: Path) -> None:
    """A file of torchvision's, with auxiliary heads of none."""
    import torchvision

    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(weights=None)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    bare = create_model("resnet18", num_classes=0, weights=tmp_path / "resnet18.pth").eval()
    theirs.fc = torch.nn.Identity()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(bare(image), theirs.eval()(image), rtol=1e-5, atol=1e-6)
    # The same file without its classifier.
    torch.save({k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}, tmp_path / "body.pth")
    body = create_model("resnet18", num_classes=None, weights=tmp_path / "body.pth")
    assert all(torch.equal(body.state_dict()[key], tensor) for key, tensor in bare.state_dict().items())


def test_peers_take_them_where_they_have_such_networks(tmp_path: Path) -> None:
    import safetensors.torch
    import timm

    from residua.weights.peers.to_peer import write_for

    spec = get_spec("resnet18", num_classes=0)
    torch.manual_seed(0)
    network = build(spec).eval()
    parts = {"classes": (), "metrics": {}, "data": {}, "preprocess": PreprocessSpec()}
    save_bundle(tmp_path / "run", tensors=network.state_dict(), spec=spec, **parts)
    with pytest.raises(InputError, match="num_classes=0 for torchvision"):
        write_for(tmp_path / "run", "torchvision", tmp_path / "theirs.safetensors")
    write_for(tmp_path / "run", "timm", tmp_path / "theirs.safetensors")
    theirs = timm.create_model("resnet18", num_classes=0).eval()
    theirs.load_state_dict(safetensors.torch.load_file(tmp_path / "theirs.safetensors"), strict=True)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(theirs(image), network(image), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("edits", [{"num_classes": 0}, {"global_pool": False}])
def test_no_logits_are_compared(edits: dict) -> None:
    from residua.verification.verify import verify

    (receipt,) = verify("resnet18", peers="torchvision", edits=edits).receipts
    assert not receipt.parity
    assert "comparing logits with torchvision's with" in receipt.refused["torchvision"]
