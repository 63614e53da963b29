"""What is served without torch: converted graphs of runs from the cache, exports; and that torch stays away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from evaluation.runs import colour_run
from residua._base.errors import Damaged, InputError
from residua.data.decode import decode
from residua.data.preprocess.resize import apply_uint8
from residua.exporting.export import export
from residua.exporting.names import CERTIFICATE
from residua.exporting.reading.stored import signature
from residua.inference.predict import predict
from residua.serving.model import ModelVersion
from residua.serving.networks import kept_graph
from residua.serving.networks.conversion import convert
from residua.serving.networks.network import Computation, Network, grouped
from residua.serving.networks.open import open_network
from residua.serving.settings import Settings
from serving.commands import started
from serving.running import running

pytest.importorskip("openvino", reason="OpenVINO is not installed")
RAW = {"Inference-Header-Content-Length": "0"}
OPENVINO = Computation("openvino")
CONVERT = kept_graph._convert


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of all tests; runs are converted in this process, which has torch already."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESIDUA_CACHE", str(folder))
        patch.setattr(kept_graph, "_convert", convert)
        yield folder


@pytest.fixture(scope="module")
def converted(cache: Path, run_folder: Path) -> Network:
    """The run's graph, converted now."""
    return open_network(run_folder, OPENVINO)


def _images(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)


def test_a_converted_graph_gives_the_logits_of_predict(
    converted: Network, run_folder: Path, images: dict[str, Path]
) -> None:
    own = open_network(run_folder, Computation("eager"))
    images_of_requests = [list(_images()[:2]), np.float32(_images(1).transpose(0, 3, 1, 2) / 255), list(_images()[2:])]
    logits = converted.logits(images_of_requests)
    assert logits.shape == (6, 3)
    assert np.abs(logits - own.logits(images_of_requests)).max() < 1e-5
    assert np.abs(converted.probabilities(logits) - own.probabilities(logits)).max() < 1e-15
    (answer,) = predict(run_folder, [images["red"]], engine="openvino")
    pixels = apply_uint8(decode(images["red"]), converted.description.preprocess)
    ours = converted.probabilities(converted.logits([[pixels]]))[0]
    assert sorted(ours, reverse=True) == pytest.approx(answer.probabilities, rel=1e-15)


@pytest.mark.parametrize("engine", ["openvino", "eager"])
def test_prepared_images_of_several_requests_are_one_stack(cache: Path, run_folder: Path, engine: str) -> None:
    network = open_network(run_folder, Computation(engine))
    prepared = np.float32(_images(3).transpose(0, 3, 1, 2) / 255)
    alone = np.concatenate([network.logits([image[None]]) for image in prepared])
    prepared[1] = np.nan
    together = network.logits([image[None] for image in prepared])
    assert np.abs(together[[0, 2]] - alone[[0, 2]]).max() < 1e-5
    groups = grouped([prepared[:1], prepared[1:], list(_images(2)), list(_images(1)), prepared])
    assert [len(group) for group in groups] == [3, 3, 3]


def test_descriptions_agree(converted: Network, exported: Path, run_folder: Path) -> None:
    own = open_network(run_folder, Computation("eager")).description
    kept, export_ = converted.description, open_network(exported, Computation()).description
    assert kept.to_json() == own.to_json() | {"engine": "openvino"}
    same = ("network", "classes", "preprocess", "temperature", "threshold", "calibrated", "precision")
    assert [getattr(export_, name) for name in same] == [getattr(own, name) for name in same]
    assert (export_.engine, export_.explains, kept.explains) == ("openvino", False, True)


def test_the_command_does_not_import_torch(
    converted: Network, run_folder: Path, exported: Path, images: dict[str, Path]
) -> None:
    red = images["red"].read_bytes()
    words = [f"kept={run_folder}", f"out={exported}", "--engine", "openvino"]
    with started(*words) as (process, listening):
        for name in ("kept", "out"):
            answer = httpx.post(f"{listening['url']}/predict?model={name}", content=red, trust_env=False).json()
            assert answer["images"][0]["labels"][0] == "red"
        maps = Path(f"/proc/{process.pid}/maps")
        if not maps.exists():
            pytest.skip("no /proc to see what a process has loaded")
        loaded = maps.read_text()
        assert "openvino" in loaded
        assert "libtorch" not in loaded


def test_explanations(converted: Network, exported: Path) -> None:
    """Of a converted run torch explains; an export has nothing to explain with."""
    overlay = converted.explained(_images(1)[0], 0)["overlay"]
    assert overlay is not None
    assert overlay.startswith("data:image/png")
    picture = open_network(exported, Computation()).explained(_images(1)[0], 0)
    assert picture["overlay"] is picture["evidence"] is None
    assert "serve the run" in (picture["note"] or "")


def test_a_replaced_run_is_checked_again(
    cache: Path, run_folder: Path, tmp_path: Path, images: dict[str, Path]
) -> None:
    run = Path(shutil.copytree(run_folder, tmp_path / "a"))
    weights = run / "model.safetensors"
    with running({"a": {"1": run}}, engine="openvino", repository=tmp_path) as server:
        red = images["red"].read_bytes()
        before = server.infer(content=red, headers=RAW).json()
        whole = weights.read_bytes()
        weights.write_bytes(whole[:-8] + b"\xff" * 8)
        refused = server.http.post("/v2/repository/models/a/load")
        assert (refused.status_code, "model.safetensors is damaged" in refused.json()["error"]) == (400, True)
        assert server.infer(content=red, headers=RAW).json() == before
        weights.write_bytes(whole)
        assert server.http.post("/v2/repository/models/a/load").status_code == 200


def test_a_replaced_run_is_not_explained(cache: Path, run_folder: Path, tmp_path: Path) -> None:
    """The map would be of other weights than those that answered."""
    run = Path(shutil.copytree(run_folder, tmp_path / "a"))
    network = open_network(run, OPENVINO)
    shutil.rmtree(run)
    colour_run(run, classes=["blue", "green", "red"])
    with pytest.raises(InputError, match="other weights than those that answer"):
        network.explained(_images(1)[0], 0)


def test_nothing_is_explained_without_torch(
    converted: Network, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_graph, "_has_torch", lambda: False)
    network = open_network(run_folder, OPENVINO)
    assert (converted.description.explains, network.description.explains) == (True, False)
    assert network.explained(_images(1)[0], 0)["overlay"] is None


@pytest.mark.parametrize("change", [{"files": None}, {"network": {}}, {"network": 7}, {"weights_sha256": None}])
def test_a_damaged_description_is_made_again(
    converted: Network,
    cache: Path,
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, object],
) -> None:
    shutil.copytree(cache / "graphs", tmp_path / "graphs")
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path))
    for path in (tmp_path / "graphs").glob("*/description.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.warns(UserWarning, match="made again"):
        again = open_network(run_folder, OPENVINO)
    assert again.description == converted.description


@pytest.mark.parametrize("name", ["model.xml", "model.bin"])
def test_a_graph_that_the_certificate_does_not_name(exported: Path, tmp_path: Path, name: str) -> None:
    """Nothing would have checked its bytes."""
    altered = Path(shutil.copytree(exported, tmp_path / "altered"))
    certificate = json.loads((altered / "certificate.json").read_text())
    del certificate["sha256"], certificate["files"][name]
    (altered / "certificate.json").write_text(json.dumps(certificate | {"sha256": signature(certificate)}))
    with pytest.raises(Damaged, match=f"{name}.*does not name it"):
        open_network(altered, Computation())


def test_a_damaged_entry_is_converted_again(
    converted: Network, cache: Path, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(cache / "graphs", tmp_path / "graphs")
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path))
    for weights in (tmp_path / "graphs").glob("*/model.bin"):
        weights.write_bytes(b"\1" * weights.stat().st_size)
    with pytest.warns(UserWarning, match="made again"):
        again = open_network(run_folder, OPENVINO)
    assert np.array_equal(again.logits([list(_images())]), converted.logits([list(_images())]))


def test_exports_that_cannot_be_served(exported: Path, run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="an export for openvino"):
        open_network(exported, Computation("onnxruntime"))
    with pytest.raises(InputError, match="an export in fp32"):
        open_network(exported, Computation("openvino", "bf16"))
    altered = Path(shutil.copytree(exported, tmp_path / "altered"))
    (altered / "model.bin").write_bytes(b"garbage")
    with pytest.raises(Damaged, match="altered"):
        open_network(altered, Computation())
    whole = export(run_folder, format="openvino", out=tmp_path / "whole", with_preprocessing=True).folder
    with pytest.raises(InputError, match="probabilities alone"):
        open_network(whole, Computation())


@pytest.mark.parametrize(
    ("field", "value", "words"), [("preprocess", {}, "does not run as"), ("temperature", 0.0, "temperature is 0")]
)
def test_a_certificate_that_does_not_fit_its_graph(
    field: str, value: object, words: str, exported: Path, tmp_path: Path
) -> None:
    altered = Path(shutil.copytree(exported, tmp_path / "altered"))
    document = json.loads((altered / CERTIFICATE).read_text())
    document.pop("sha256")
    document["run"][field] = value
    (altered / CERTIFICATE).write_text(json.dumps(document | {"sha256": signature(document)}))
    with pytest.raises(InputError, match=words):
        ModelVersion.open("a", "1", altered, Settings())


def test_onnxruntime_serves_both_too(cache: Path, run_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    want = open_network(run_folder, Computation("eager")).logits([list(_images())])
    out = export(run_folder, format="onnx", out=tmp_path / "out").folder
    for source, computing in ((run_folder, Computation("onnxruntime")), (out, Computation())):
        network = open_network(source, computing)
        assert network.description.engine == "onnxruntime"
        assert np.abs(network.logits([list(_images())]) - want).max() < 1e-5


def test_a_process_converts_and_names_what_it_refuses(run_folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run_folder, tmp_path / "a"))
    config = run / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_classes": 7}))
    (tmp_path / "good").mkdir()
    CONVERT(run_folder, "openvino", tmp_path / "good")
    assert {each.name for each in (tmp_path / "good").iterdir()} >= {"model.xml", "model.bin"}
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="disagrees with the weights"):
        CONVERT(run, "openvino", tmp_path / "out")


def test_a_run_is_never_served_in_another_precision_than_asked_for(cache: Path, run_folder: Path) -> None:
    with pytest.raises(InputError, match="of which this machine has no form"):
        open_network(run_folder, Computation("openvino", "int8")).logits([np.zeros((1, 3, 8, 8), np.float32)])
