"""`POST /predict`: raw bodies and forms, "unknown", explanations."""

from __future__ import annotations

import base64
import io
import threading
import time
from pathlib import Path

import pytest
from PIL import Image

from evaluation.runs import colour_run
from residua._base.errors import InputError
from serving.running import Running, running


def test_a_raw_image(server: Running, images: dict[str, Path]) -> None:
    answer = server.http.post("/predict", content=images["blue"].read_bytes()).json()
    (entry,) = answer["images"]
    assert entry["labels"] == ["blue", "red", "green"]
    assert entry["probabilities"] == sorted(entry["probabilities"], reverse=True)
    assert (answer["model"], answer["version"]) == ("a", "1")
    assert answer["milliseconds"] > 0


def test_a_form_of_images_in_which_one_is_bad(server: Running, images: dict[str, Path]) -> None:
    files = [(f"f{at}", (name, images[name].read_bytes())) for at, name in enumerate(("red", "green"))]
    files.insert(1, ("bad", ("text.png", b"Dear Sir")))
    answer = server.http.post("/predict?top=1", files=files).json()["images"]
    assert [each["name"] for each in answer] == ["red", "text.png", "green"]
    assert [each.get("labels") for each in answer] == [["red"], None, ["green"]]
    assert "not an image" in answer[1]["error"]


def test_unknown_where_the_run_has_a_threshold(server: Running, images: dict[str, Path], tmp_path: Path) -> None:
    sure = server.http.post("/predict", content=images["red"].read_bytes()).json()["images"][0]
    unsure = server.http.post("/predict", content=images["noise"].read_bytes()).json()["images"][0]
    assert (sure["threshold"], sure["unknown"]) == (0.7, False)
    assert unsure["probabilities"][0] < 0.7
    assert unsure["unknown"] is True
    with running({"b": {"1": colour_run(tmp_path / "b")}}) as other:
        answer = other.http.post("/predict", content=images["noise"].read_bytes()).json()["images"][0]
        assert (answer["unknown"], answer["threshold"]) == (None, None)


def test_an_explanation(server: Running, images: dict[str, Path]) -> None:
    answer = server.http.post("/predict?explain=1", content=images["red"].read_bytes()).json()["images"][0]
    pictures = []
    for name in ("image", "overlay"):
        kind, _, content = answer[name].partition(",")
        assert kind == "data:image/png;base64"
        pictures.append(Image.open(io.BytesIO(base64.b64decode(content))))
    assert pictures[0].size == pictures[1].size == (448, 448)
    assert pictures[0].convert("RGB").getpixel((100, 100)) == (255, 0, 0)
    assert pictures[1].convert("RGB").getpixel((100, 100)) != (255, 0, 0)
    assert answer["method"].startswith("gradcam of")
    assert answer["note"] is None


def test_an_explanation_that_hangs(run_folder: Path, images: dict[str, Path]) -> None:
    """The request ends at its deadline, and the process, whose one thread for explanations is stuck, after `stall`."""
    release = threading.Event()
    with running({"a": {"1": run_folder}}, timeout=0.5, stall=1.0, drain=1) as server:
        network = server.service.models.get("a").network
        network.explained = lambda image, target: release.wait(20)  # type: ignore[assignment, method-assign]
        began = time.monotonic()
        answer = server.http.post("/predict?explain=1", content=images["red"].read_bytes())
        assert (answer.status_code, "explanation" in answer.json()["error"]) == (504, True)
        assert time.monotonic() - began < 0.95, "less than the stall"
        while not server.service.fatal:
            assert time.monotonic() - began < 10
            time.sleep(0.05)
        assert server.service.hung
    release.set()


def test_a_run_that_is_gone_is_not_explained(
    run_folder: Path, images: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(image: object, target: int) -> None:
        raise InputError("a run that was replaced", "the run that is served", "Load the model again")

    with running({"a": {"1": run_folder}}) as server:
        monkeypatch.setattr(server.service.models.get("a").network, "explained", gone)
        answer = server.http.post("/predict?explain=1", content=images["red"].read_bytes())
        assert (answer.status_code, "Load the model again" in answer.json()["error"]) == (503, True)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("top=0", "top='0'"),
        ("top=x", "top='x'"),
        ("top=1&top=2", "twice"),
        ("explain=maybe", "explain='maybe'"),
        ("colour=red", "no parameter 'colour'"),
        ("version=1", "version without model"),
    ],
)
def test_wrong_parameters(server: Running, images: dict[str, Path], query: str, words: str) -> None:
    response = server.http.post(f"/predict?{query}", content=images["red"].read_bytes())
    assert response.status_code == 400
    assert words in response.json()["error"]


def test_nothing_that_is_an_image(server: Running, images: dict[str, Path]) -> None:
    post = server.http.post
    assert post("/predict", content=b"").status_code == 400
    assert post("/predict", content=b"Dear Sir").status_code == 400
    assert post("/predict", data={"a": "b"}, files={}).status_code == 400
    broken = {"content-type": "multipart/form-data"}
    assert post("/predict", content=b"--x", headers=broken).status_code == 400
    broken["content-type"] += "; boundary=x"
    assert post("/predict", content=b"--y\r\n\r\n", headers=broken).status_code == 400
    assert post("/predict?model=none", content=images["red"].read_bytes()).status_code == 404
    many = [(f"f{at}", (str(at), images["red"].read_bytes())) for at in range(9)]
    too_many = post("/predict?explain=1", files=many)
    assert too_many.status_code == 413
    assert "at most 8" in too_many.json()["error"]


def test_about(server: Running) -> None:
    (model,) = server.http.get("/about").json()["models"]
    assert (model["top1"], model["count"], model["split"]) == (0.975, 40, "val")
    assert (model["network"], model["classes"], model["threshold"]) == ("cifar_resnet8", 3, 0.7)
