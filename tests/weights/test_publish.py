"""Runs in the Hub's layout: out, over a server, and back; the model card states what the bundle holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import residua
from residua import Run
from residua._base.errors import InputError
from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.specs.preprocess import default_preprocess
from residua.weights.bundle.read import load_bundle
from residua.weights.bundle.value import hash_tensors
from residua.weights.bundle.write import save_bundle
from residua.weights.named.locate import hub_name
from servers import serving
from weights.bundles import CLASSES, PREPROCESS, save_tiny, tiny_model
from weights.named.hubs import folder_files, publish


def test_a_run_goes_to_the_hub_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RESIDUA_OFFLINE")
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    save_tiny(tmp_path / "run", initial_weights={"given": "hf://org/base@v1", "sha256": "0" * 64})
    run = residua.load(tmp_path / "run")
    assert run.save_pretrained(tmp_path / "out") == tmp_path / "out"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"model.safetensors", "config.json", "README.md"}
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        publish(hub, "org/run", folder_files(tmp_path / "out"))
        for name in ("org/run", "hf://org/run"):
            back = Run.from_pretrained(name)
            assert back.weights_sha256 == run.weights_sha256
            assert (back.spec, back.classes, back.preprocess_spec) == (run.spec, run.classes, run.preprocess_spec)
            assert (back.metrics, back.data, back.recipe) == (run.metrics, run.data, run.recipe)
            assert back.initial_weights == {"given": "hf://org/base@v1", "sha256": "0" * 64}
    assert Run.from_pretrained(tmp_path / "out").weights_sha256 == run.weights_sha256


def test_what_is_saved_is_what_the_model_holds_now(tmp_path: Path) -> None:
    save_tiny(tmp_path / "run")
    run = residua.load(tmp_path / "run")
    with torch.no_grad():
        run.model.fc.bias += 1  # type: ignore[union-attr, operator]
    run.save_pretrained(tmp_path / "out")
    assert load_bundle(tmp_path / "out").weights_sha256 == hash_tensors(run.model.state_dict()) != run.weights_sha256


def test_timm_opens_what_was_saved(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    spec = get_spec("resnet18", num_classes=3)
    model = build(spec).eval()
    fields = {"classes": CLASSES, "preprocess": PREPROCESS, "metrics": {}, "data": {}}
    save_bundle(tmp_path / "run", tensors=model.state_dict(), spec=spec, **fields)
    residua.load(tmp_path / "run").save_pretrained(tmp_path / "out")
    theirs = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(theirs(images), model(images), rtol=1e-5, atol=1e-6)
    assert "timm.create_model" in (tmp_path / "out" / "README.md").read_text()


def test_the_card_states_what_the_bundle_holds(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    data = {"given": "photos | of <all>", "hash": "abc", "counts": {"train": 1234, "test": 56}}
    metrics = {"top1": 0.98765, "top1_interval": (0.97, 0.99), "count": 56, "split": "test"}
    save_tiny(
        tmp_path / "run",
        data=data,
        metrics=metrics,
        classes=("a: b", '"c"', "- d"),
        initial_weights={"given": "hf://org/base@v1", "sha256": "0" * 64},
    )
    run = residua.load(tmp_path / "run")
    text = (run.save_pretrained(tmp_path / "out") / "README.md").read_text()
    _, head, body = text.split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "residua",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "residua"],
        "base_model": "org/base",
    }
    rows = dict(
        line.strip("| ").split(" | ", 1) for line in body.splitlines() if line.startswith("| ") and line[2] != "|"
    )
    assert rows["Measured"] == "top-1 0.9877 (95% interval 0.9700 to 0.9900) of 56 images of the test part"
    assert rows["Trained on"] == r"photos \| of &lt;all>: 1,234 train, 56 test images; hash abc"
    assert rows["Parameters"] == f"{sum(p.numel() for p in run.model.parameters()):,}"
    assert rows["SHA-256 of the weights"] == run.weights_sha256
    assert "mean 0.5, 0.4, 0.3, deviation 0.2, 0.3, 0.4" in rows["Preprocessing"]
    assert json.loads(body.split("```json\n")[1].split("\n```")[0]) == ["a: b", '"c"', "- d"]


def test_what_is_not_known_is_not_said(tmp_path: Path) -> None:
    save_tiny(tmp_path / "run", metrics={}, data={})
    text = (residua.load(tmp_path / "run").save_pretrained(tmp_path / "out") / "README.md").read_text()
    for word in ("Measured", "Trained on", "Began with", "base_model", "None"):
        assert word not in text


def test_a_readme_that_is_there_is_kept(tmp_path: Path) -> None:
    save_tiny(tmp_path)
    (tmp_path / "README.md").write_text("mine")
    residua.load(tmp_path).save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    residua.load(tmp_path)


def test_a_model_that_left_its_spec_is_refused(tmp_path: Path) -> None:
    save_tiny(tmp_path / "run")
    run = residua.load(tmp_path / "run")
    run.model.fc = torch.nn.Linear(8, 5)  # type: ignore[assignment]
    with pytest.raises(InputError, match="misshapen"):
        run.save_pretrained(tmp_path / "out")
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_names_of_the_hub_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a").mkdir(parents=True)
    assert hub_name("org/repo") == "hf://org/repo"
    assert hub_name("org/repo@refs/pr/1") == "hf://org/repo@refs/pr/1"
    for path in ("runs/a", "runs/a/b", "a", "/org/repo", "hf://org/repo", tmp_path):
        assert hub_name(path) == path
    # A mistyped folder is no reason to ask a server.
    with pytest.raises(InputError, match=r"holds no model\.safetensors"):
        residua.load("runs/b")


def test_a_strangers_tensors_want_their_network_and_state_what_is_assumed(tmp_path: Path) -> None:
    torch.save(tiny_model().state_dict(), tmp_path / "w.pth")
    with pytest.warns(UserWarning, match=r"w\.pth: Preprocessing assumed, as Residua trains cifar_resnet8"):
        run = residua.load(tmp_path / "w.pth", model=tiny_model().spec)  # type: ignore[arg-type]
    assert run.preprocess_spec == default_preprocess(32)
