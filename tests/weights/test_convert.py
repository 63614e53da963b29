"""Strangers' files become runs that say where they come from; what does not fit is refused, and nothing written."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from residua._base.errors import InputError
from residua._base.files import sha256_file
from residua.cli.app import main
from residua.evaluation.evaluate import evaluate
from residua.families.build import build
from residua.inference.predict import predict
from residua.specs.catalog import get_spec
from residua.weights import convert as module
from residua.weights.convert import convert
from residua.weights.named.locate import locate, sha256_weights
from residua.weights.open import load
from residua.weights.sources.read_source import SOURCES, ConvertedWeights, get_source, ours_from
from weights.bundles import tiny_model, tiny_spec

IMAGE = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def as_timm(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Under timm's names, by its own rules."""
    found: dict[str, torch.Tensor] = get_source("timm").from_ours(tiny_spec(), state)  # type: ignore[attr-defined]
    return found


def as_cifar(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As pytorch_resnet_cifar10 names them, in DataParallel."""
    return {f"module.{name.replace('fc.', 'linear.')}": tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("source", "form", "edits"),
    [("torchvision", dict, {}), ("timm", as_timm, {}), ("cifar_resnet", as_cifar, {"shortcut": "pad_both"})],
)
@torch.no_grad()
def test_a_file_becomes_a_run(source: str, form: Any, edits: dict[str, Any], tmp_path: Path) -> None:
    model = tiny_model(**edits)
    torch.save({"state_dict": form(model.state_dict())}, tmp_path / "w.pth")
    convert(tmp_path / "w.pth", model=tiny_spec(), out=tmp_path / "run", source=source, classes=["a", "b", "c"])
    run = load(tmp_path / "run")
    assert torch.equal(run.model(IMAGE), model(IMAGE))
    assert (run.classes, run.spec.shortcut) == (("a", "b", "c"), edits.get("shortcut", "pad"))  # type: ignore[attr-defined]
    document = run.data["converted"]
    assert (document["source"], document["file"], document["sha256"]) == (
        source,
        "w.pth",
        sha256_file(tmp_path / "w.pth"),
    )


def test_sources_are_recognised_by_their_names() -> None:
    names = {
        "keras": {"conv1_conv/kernel", "conv1_bn/moving_mean"},
        "slim": {"resnet_v2_50/conv1/weights"},
        "cifar_resnet": {"conv1.weight", "bn1.weight", "linear.weight", "linear.bias"},
        "huggingface": {"resnet.embedder.embedder.convolution.weight", "classifier.1.weight"},
        "mmpretrain": {"backbone.conv1.weight", "head.fc.weight"},
        "fastai": {"0.0.weight", "0.1.weight", "0.4.0.conv1.weight", "1.8.weight"},
        "timm": {"stages.0.blocks.0.conv1.weight"},
        "torchvision": {"conv1.weight", "fc.weight"},
    }
    assert set(names) == set(SOURCES)
    for name, held in names.items():
        assert next(source for source in SOURCES if get_source(source).recognises(held)) == name


@pytest.mark.parametrize("source", ["torchvision", "timm"])
def test_only_tensorflows_networks_have_a_background(source: str, tmp_path: Path) -> None:
    state = tiny_model().state_dict()
    assert ours_from(tiny_spec(), state, source, keep_background=2).spec.num_classes == 3
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match="2 for 3 outputs"):
        convert(tmp_path / "w.pth", model=tiny_spec(), out=tmp_path / "run", source=source, classes=["a", "b"])
    assert not (tmp_path / "run").exists()


def test_a_side_that_the_network_does_not_take(tmp_path: Path) -> None:
    spec = get_spec("resnet18_v2", depths=(1, 1, 1, 1), widths=(4, 4, 4, 4), stem_width=4, unit="basic")
    alexnet = get_spec("alexnet", widths=(4, 4, 4, 4, 4), hidden=4, num_classes=3)
    torch.save(build(alexnet).state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"images of 32 pixels for alexnet.*image_size=63"):
        convert(tmp_path / "w.pth", model=alexnet, out=tmp_path / "run", source="torchvision", image_size=32)
    with pytest.raises(InputError, match=r"images of 0 pixels. .*Use image_size=224"):
        convert(tmp_path / "w.pth", model=alexnet, out=tmp_path / "run", source="torchvision", image_size=0)
    assert not (tmp_path / "run").exists()
    torch.save(build(spec).state_dict(), tmp_path / "v.pth")
    run = convert(tmp_path / "v.pth", model=spec, out=tmp_path / "run", source="torchvision", image_size=64)
    assert run.spec.input_size == run.preprocess_spec.image_size == 64


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_counters_that_a_script_made_floats_become_whole(kind: torch.dtype, tmp_path: Path) -> None:
    state = {name: tensor.to(kind) for name, tensor in tiny_model().state_dict().items()}
    state["bn1.num_batches_tracked"] = torch.tensor(7.0, dtype=kind)
    torch.save(state, tmp_path / "w.pth")
    run = convert(tmp_path / "w.pth", model=tiny_spec(), out=tmp_path / "run", image_size=16)
    counter = run.model.state_dict()["bn1.num_batches_tracked"]
    assert (counter.item(), counter.dtype) == (7, torch.int64)
    state["bn1.num_batches_tracked"] = torch.tensor(0.5, dtype=kind)
    with pytest.raises(InputError, match=r"of the wrong type: bn1\.num_batches_tracked"):
        ours_from(tiny_spec(), state, "torchvision")
    state["bn1.num_batches_tracked"] = torch.tensor(torch.inf, dtype=kind)
    found = ours_from(tiny_spec(), state, "torchvision")
    assert found.tensors["bn1.num_batches_tracked"] == 0
    assert found.notes == ("Counters of batches set to 0: 1 are infinity, bn1.num_batches_tracked.",)


def test_weights_of_several_labels_an_image(tmp_path: Path) -> None:
    model = tiny_model()
    torch.save(model.state_dict(), tmp_path / "w.pth")
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    common: dict[str, Any] = {"model": tiny_spec(), "image_size": 16, "classes": ["beach", "dog", "sea"]}
    run = convert(tmp_path / "w.pth", out=tmp_path / "given", label_thresholds=[0.0, 1.0, 0.5], **common)
    assert run.multilabel is not None
    assert run.multilabel.thresholds == (0.0, 1.0, 0.5)
    answer = predict(run, [image])[0]
    tensor = run.preprocess(image)[None]
    with torch.no_grad():
        expected = torch.sigmoid(run.model(tensor))[0]
    assert list(answer.all_probabilities.values()) == pytest.approx(expected.tolist(), abs=1e-6)
    assert "beach" in answer.labels
    assert "dog" not in answer.labels
    (tmp_path / "config.json").write_text('{"problem_type": "multi_label_classification"}')
    stated = convert(tmp_path / "w.pth", out=tmp_path / "stated", **common)
    assert stated.multilabel is not None
    assert stated.multilabel.thresholds == (0.5, 0.5, 0.5)
    assert any("several labels" in note for note in stated.data["converted"]["notes"])
    for wrong, message in (([0.5, 0.5], "2 numbers for 3 outputs"), (1.5, "label_thresholds"), ([], "0 numbers")):
        with pytest.raises(InputError, match=message):
            convert(tmp_path / "w.pth", out=tmp_path / "none", label_thresholds=wrong, **common)
    assert not (tmp_path / "none").exists()


def test_long_lists_of_names_are_shortened() -> None:
    extra = {f"tensor_number_{number}": torch.zeros(1) for number in range(400)}
    with pytest.raises(InputError, match=r"400 unexpected: tensor_number_0, .*_9 and 390 more") as caught:
        ours_from(tiny_spec(), tiny_model().state_dict() | extra, "torchvision")
    assert len(str(caught.value)) < 700


def test_the_command_names_what_a_folder_or_a_backbone_needs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tiny_model().state_dict()
    torch.save(state, tmp_path / "w.pth")
    run, out = tmp_path / "run", tmp_path / "o.pth"
    convert(tmp_path / "w.pth", model=tiny_spec(), out=run, image_size=16)
    assert main(["convert", str(run), "--model", "resnet18", "--out", str(out)]) == 2
    assert "A run needs no conversion; --to writes its weights for torchvision or timm." in capsys.readouterr().err
    assert main(["convert", str(run), "--out", str(out)]) == 2
    shown = capsys.readouterr().err
    assert "without --model, and without --to" in shown
    assert f"residua convert {run} --to timm --out {out}" in shown
    (tmp_path / "timm").mkdir()
    torch.save(state, tmp_path / "timm" / "pytorch_model.bin")
    assert main(["convert", str(tmp_path / "timm"), "--model", "resnet18", "--out", str(out)]) == 2
    assert f"Give a file in it: {tmp_path / 'timm' / 'pytorch_model.bin'}." in capsys.readouterr().err
    torch.save({name: t for name, t in build(get_spec("resnet18")).state_dict().items() if name[:3] != "fc."}, out)
    assert main(["convert", str(out), "--model", "resnet18", "--out", str(tmp_path / "new")]) == 2
    shown = capsys.readouterr().err
    assert "holds a backbone of resnet18 without its classifier: 2 missing: fc.{weight,bias}." in shown
    assert "residua train DATA --model MODEL --weights FILE --out RUN" in shown


def test_the_hash_of_a_checkpoint_covers_all_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = tmp_path / "model.ckpt-7"
    held = {"index": b"table", "data-00000-of-00002": b"values", "data-00001-of-00002": b"more", "meta": b"graph"}
    for ending, content in held.items():
        (tmp_path / f"{prefix.name}.{ending}").write_bytes(content)
    (tmp_path / "model.ckpt-77.index").write_bytes(b"of another")
    digest = sha256_weights(prefix)
    names = [prefix, *(tmp_path / f"{prefix.name}.{ending}" for ending in held)]
    assert {sha256_weights(name) for name in names} == {digest}
    assert {locate(name).sha256 for name in names} == {digest}
    # The receipt's measurement, without the hundred megabytes of a network that slim has.
    model = tiny_model()
    found = ConvertedWeights(model.spec, model.state_dict(), "slim", ())  # type: ignore[arg-type]
    monkeypatch.setattr(module, "read_weights", lambda *_, **__: found)
    for place, name in enumerate((prefix, names[1])):
        run = convert(name, model=tiny_spec(), out=tmp_path / f"run{place}", image_size=16)
        assert run.data["converted"]["sha256"] == digest
    (tmp_path / f"{prefix.name}.data-00001-of-00002").write_bytes(b"else")
    assert sha256_weights(prefix) != digest
    (tmp_path / "w.pth").write_bytes(b"one file")
    assert sha256_weights(tmp_path / "w.pth") == hashlib.sha256(b"one file").hexdigest()


def test_a_strangers_checkpoint_keeps_its_accuracy(
    reference_file: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first 50 test images of each class; docs/proofs/converted_accuracy.json has all 10,000."""
    file, archive = (
        reference_file("data/pytorch_resnet_cifar10-resnet20.th"),
        reference_file("data/cifar10-jpeg.tar.gz"),
    )
    with tarfile.open(archive) as opened:
        for member in opened:
            if member.isfile() and member.name.startswith("test/") and int(Path(member.name).stem) < 50:
                opened.extract(member, tmp_path / "data", filter="data")
    words = [str(file), "--model", "cifar_resnet20", "--out", str(tmp_path / "run"), "--json"]
    assert main(["convert", *words]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["source"], document["classes"][0], document["sha256"]) == (
        "cifar_resnet",
        "airplane",
        sha256_file(file),
    )
    report = evaluate(tmp_path / "run", tmp_path / "data" / "test")
    assert (report.count, round(report.top1 * report.count)) == (500, 399)
