"""Runs and weights of the Hub, or of a server in its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

import residua
from residua._base.errors import InputError
from residua._base.places import cache_root
from residua.inference.predict import predict
from residua.specs.preprocess import PreprocessSpec
from residua.weights.create import create_model
from residua.weights.named.hub import Repository
from servers import Behaviour, serving
from weights.bundles import CLASSES, PREPROCESS, save_tiny, tiny_model, tiny_spec
from weights.named.hubs import COMMIT, folder_files, pickled, publish, same

REPOSITORY = "someone/a-run"


# The Hub


@pytest.fixture
def published(server: Behaviour, tmp_path: Path) -> Behaviour:
    save_tiny(tmp_path / "run")
    publish(server, REPOSITORY, folder_files(tmp_path / "run"))
    return server


def test_a_run_comes_back_from_the_hub(published: Behaviour) -> None:
    run = residua.load(f"hf://{REPOSITORY}")
    assert same(run.model, tiny_model().state_dict())
    assert (run.classes, run.preprocess_spec) == (CLASSES, PREPROCESS)
    network = create_model(tiny_spec(), weights=f"hf://{REPOSITORY}")
    assert same(network, tiny_model().state_dict())
    assert network.provenance is not None
    assert (network.provenance.preprocess, network.provenance.classes) == (PREPROCESS, CLASSES)
    # Asked what they are each time, sent once.
    assert sum(each.method == "GET" and "store" in each.path for each in published.asked) == 1


def test_offline_the_hubs_files_come_from_the_cache(published: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    residua.load(f"hf://{REPOSITORY}")
    asked = len(published.asked)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert residua.load(f"hf://{REPOSITORY}").classes == CLASSES
    with pytest.raises(InputError) as error:
        residua.load(f"hf://{REPOSITORY}@v2")
    assert f"{published.address}/{REPOSITORY}/resolve/v2/config.json is not in the cache" in str(error.value)
    assert str(cache_root() / "weights") in str(error.value)
    assert len(published.asked) == asked


def test_a_revision_and_a_moving_branch(published: Behaviour, tmp_path: Path) -> None:
    save_tiny(tmp_path / "other", tiny_model(num_classes=2), classes=("x", "y"))
    publish(published, REPOSITORY, folder_files(tmp_path / "other"), revision="refs/pr/1")
    for name in ("config.json", "model.safetensors"):
        path = f"/{REPOSITORY}/resolve/refs/pr/1/{name}"
        for table in (published.files, published.redirects, published.headers):
            if path in table:
                table[path.replace("refs/pr/1", "refs%2Fpr%2F1")] = table.pop(path)  # type: ignore[attr-defined]
    assert residua.load(f"hf://{REPOSITORY}@refs/pr/1").classes == ("x", "y")
    # All files of a branch come from the commit that the first of them came from.
    assert [each.path.split("/")[4] for each in published.asked if each.method == "HEAD"] == ["refs%2Fpr%2F1", COMMIT]


def test_tensors_beside_timms_config_are_read_with_its_preprocessing(
    server: Behaviour, resnet18: dict[str, torch.Tensor]
) -> None:
    config = {
        "architecture": "resnet18",
        "num_classes": 2,
        "label_names": ["ant", "bee"],
        "pretrained_cfg": {
            "input_size": [3, 160, 160],
            "crop_pct": 0.9,
            "crop_mode": "center",
            "interpolation": "bicubic",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
        },
    }
    two = {name: t[:2].clone() if name.startswith("fc.") else t for name, t in resnet18.items()}
    publish(server, "a/b", {"config.json": json.dumps(config).encode(), "pytorch_model.bin": pickled(two)})
    run = residua.load("hf://a/b")
    assert (run.spec.name, run.classes) == ("resnet18", ("ant", "bee"))
    assert run.preprocess_spec == PreprocessSpec(160, 177, "bicubic", (0.5,) * 3, (0.25,) * 3)
    assert same(run.model, two)
    with pytest.raises(InputError, match="holds a resnet18 for a resnet34, which differs: depths"):
        create_model("resnet34", weights="hf://a/b")


def test_a_classifier_of_several_labels_is_refused_and_its_backbone_is_taken(
    server: Behaviour, resnet18: dict[str, torch.Tensor]
) -> None:
    config = {"architecture": "resnet18", "problem_type": "multi_label_classification"}
    files = {"config.json": json.dumps(config).encode(), "model.safetensors": safetensors.torch.save(resnet18)}
    publish(server, "a/b", files)
    for model in (None, "resnet18"):
        with pytest.raises(InputError, match=r"multi_label_classification.*a softmax .* would answer wrongly"):
            residua.load("hf://a/b", model=model)
    with pytest.raises(InputError, match="multi_label_classification"):
        predict("hf://a/b", "photo.png")
    network = create_model("resnet18", num_classes=3, weights="hf://a/b")
    assert torch.equal(network.state_dict()["conv1.weight"], resnet18["conv1.weight"])


def test_weights_of_another_stride_fit_and_are_refused(server: Behaviour, tmp_path: Path) -> None:
    save_tiny(tmp_path / "run")
    other = tiny_spec(shortcut="pad_both")
    with pytest.raises(InputError, match=r"shortcut 'pad' there, 'pad_both' here"):
        create_model(other, weights=tmp_path / "run")
    create_model(tiny_spec(bn_momentum=0.01), weights=tmp_path / "run")


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "RepoNotFound", "HF_TOKEN"),
        (403, "GatedRepo", "HF_TOKEN"),
        (404, "RevisionNotFound", "Check someone/a-run@main"),
        (404, "EntryNotFound", "holds neither model.safetensors nor pytorch_model.bin"),
        (500, "", "HTTP 500"),
    ],
)
def test_what_the_hub_refuses_is_said(
    published: Behaviour, monkeypatch: pytest.MonkeyPatch, status: int, code: str, words: str
) -> None:
    published.statuses = [status] * 99
    published.error_headers = {"X-Error-Code": code}
    with pytest.raises(InputError, match=words):
        residua.load(f"hf://{REPOSITORY}")


def test_a_private_repository_takes_the_token(published: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    published.token = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(InputError, match="set HF_TOKEN to a different token") as error:
        residua.load(f"hf://{REPOSITORY}")
    assert "hf_wrong" not in str(error.value)
    with serving(files=dict(published.files)) as store:
        for path, target in published.redirects.items():
            published.redirects[path] = target.replace(published.address, store.address)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        assert residua.load(f"hf://{REPOSITORY}").classes == CLASSES
        assert [each.headers.get("authorization") for each in store.asked] == [None]


def test_a_server_that_names_no_content_is_refused(server: Behaviour) -> None:
    server.files["/a/b/resolve/main/config.json"] = b"{}"
    with pytest.raises(InputError, match="does not say what its content is"):
        residua.load("hf://a/b")


@pytest.mark.parametrize("name", ["", "a/b/c", "../etc", "a/..", "a b/c", "a/b@", "a/b@../x"])
def test_names_that_are_no_repository(name: str) -> None:
    with pytest.raises(InputError, match="hf://ORG/REPO"):
        Repository(name)


@pytest.mark.parametrize("text", ["[]", "{", "null", '{"architecture": 3, "pretrained_cfg": {"mean": "red"}}'])
def test_a_config_of_somebody_elses_making_breaks_nothing(
    server: Behaviour, resnet18: dict[str, torch.Tensor], text: str
) -> None:
    publish(server, "a/b", {"config.json": text.encode(), "model.safetensors": safetensors.torch.save(resnet18)})
    with pytest.raises(InputError):
        residua.load("hf://a/b")
