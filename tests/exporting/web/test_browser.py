"""The folder of format="web" in headless Chromium: predict's answers on 50 photos, and nothing leaves the page."""

from __future__ import annotations

import base64
import json
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import residua
from chromium import chromium, chromium_path
from exporting.web.hosting import hosted, runtime_folder
from residua._base.errors import InputError
from residua.data.decode import decode
from residua.data.preprocess.resize import apply_uint8
from residua.exporting.export import export
from residua.exporting.recheck import check_export
from residua.exporting.web.site import POLICY
from residua.families.build import build
from residua.inference.predict import predict
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.weights.bundle.write import save_bundle

COUNT = 50
CLASSES = ("ants", "bees", "neither")


@pytest.fixture(scope="module")
def runtime() -> Path:
    return runtime_folder()


@pytest.fixture(scope="module")
def photos(reference_file: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    with tarfile.open(reference_file("data/hymenoptera.tar")) as stream:
        members = sorted((each for each in stream if each.name.endswith(".jpg")), key=lambda each: each.name)
        chosen = members[:: len(members) // COUNT][:COUNT]
        for member in chosen:
            content = stream.extractfile(member)
            assert content is not None
            (folder / Path(member.name).name).write_bytes(content.read())
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def run(photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> residua.Run:
    """A run with random features whose head is fitted to these photos: its answers are no near ties."""
    spec = get_spec("cifar_resnet8", num_classes=3, input_size=64)
    preprocess = PreprocessSpec(64, 72, interpolation="bicubic")
    torch.manual_seed(0)
    model = build(spec).eval()
    folder = tmp_path_factory.mktemp("web") / "run"
    parts = {"spec": spec, "classes": CLASSES, "preprocess": preprocess, "metrics": {}, "recipe": None, "data": {}}
    save_bundle(folder, tensors=model.state_dict(), **parts)  # type: ignore[arg-type]
    opened = residua.load(folder)
    images = torch.stack([opened.preprocess(path) for path in photos])
    head, model.fc = model.fc, nn.Identity()
    with torch.no_grad():
        features = torch.cat([model(images), torch.ones(COUNT, 1)], 1)
        wanted = 8 * nn.functional.one_hot(torch.arange(COUNT) % 3, 3).float()
        solution = torch.linalg.lstsq(features, wanted, driver="gelsd").solution
        model.fc = head
        model.fc.weight.copy_(solution[:-1].T)
        model.fc.bias.copy_(solution[-1])
    thresholds = {"temperature": 1.5, "thresholds": {"0.95": 0.6}}
    folder = folder.parent / "fitted"
    save_bundle(folder, tensors=model.state_dict(), calibration=thresholds, **parts)  # type: ignore[arg-type]
    return residua.load(folder)


@pytest.fixture(scope="module")
def address(run: residua.Run, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    out = tmp_path_factory.mktemp("site") / "out"
    export(run, format="web", runtime=runtime, out=out, golden_only=True)
    assert check_export(out).verdict.answer == "passes"
    with hosted(out) as url:
        yield url


def test_fifty_photos_get_predicts_answers(run: residua.Run, photos: list[Path], address: str, tmp_path: Path) -> None:
    chromium_path()
    with chromium(tmp_path / "profile") as tab:
        tab.open(address, 390)
        tab.wait("document.querySelector('#about b')")
        assert "cifar_resnet8 with 3 classes" in tab.run("document.querySelector('#about').textContent")
        before = len(tab.requests)
        tab.choose("#files", *photos)
        tab.wait(f"document.querySelector('#status').textContent.startsWith('{COUNT} of {COUNT}')")
        # No request but of pictures that the page itself holds.
        assert [url for url in tab.requests[before:] if not url.startswith("blob:")] == []
        assert [url for url in tab.requests if not url.startswith((address, "data:", "blob:"))] == []
        assert tab.messages == []
        rows: list[Any] = tab.run(
            "[...document.querySelectorAll('article')].map((each) => [each.querySelector('h3').textContent,"
            " each.querySelector('.ranks span').textContent, parseFloat(each.querySelector('.part').style.width),"
            " each.classList.contains('unknown')])"
        )
        wanted = predict(run, photos, top=1)
        for (name, label, width, unknown), prediction in zip(rows, wanted, strict=True):
            assert (name, label) == (Path(prediction.path).name, prediction.labels[0])
            assert width / 100 == pytest.approx(prediction.probabilities[0], abs=0.02)
            assert unknown == (width < 60)
        assert tab.run("document.querySelector('.evidence').hidden")
        assert "on this device" in tab.run("document.querySelector('.timing').textContent")
        assert tab.run("document.documentElement.scrollWidth") <= 390
        tab.picture(tmp_path / "page.png")
        noisy = tmp_path / "noisy.png"
        pixels = np.random.default_rng(0).integers(0, 256, (42, 46, 3), np.uint8)
        Image.fromarray(pixels).resize((2300, 2100), Image.Resampling.NEAREST).save(noisy)
        _grey_levels(run, [*photos[:6], noisy], tab)
        text = tmp_path / "letter.png"
        text.write_text("Dear Sir")
        tab.choose("#files", text)
        tab.wait("document.querySelector('.verdict.wrong')")
        assert "not an image" in tab.run("document.querySelector('.verdict').textContent")


def _grey_levels(run: residua.Run, photos: list[Path], tab: Any) -> None:
    """Hold the page's pixels against ours: the same resize of what each decoder gives."""
    for path in photos:
        content = base64.b64encode(path.read_bytes()).decode()
        bytes_ = f'Uint8Array.from(atob("{content}"), (each) => each.charCodeAt(0))'
        values = tab.run(f"answers.pixels(new File([{bytes_}], 'photo.jpg')).then((each) => [...each.data])")
        ours = apply_uint8(decode(path), run.preprocess_spec)
        far = np.abs(np.array(values).reshape(ours.shape) - ours.astype(int))
        assert far.max() <= 1, path


def test_its_files_state_a_policy_and_the_runtimes_hash(address: str) -> None:
    import urllib.request

    page = urllib.request.urlopen(address).read().decode()
    assert f'content="{POLICY}"'.replace("'", "&#39;") in page
    assert "unsafe-inline" not in page
    assert 'integrity="sha384-' in page
    assert "https://" not in page
    about = json.loads(urllib.request.urlopen(f"{address}model.json").read())
    assert about["labels"] == list(CLASSES)
    assert about["threshold"] == 0.6


@pytest.mark.parametrize("content", [None, {"name": "other"}, {"name": "onnxruntime-web"}])
def test_another_folder_is_no_runtime(content: dict[str, str] | None, run: residua.Run, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "package.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="npm install onnxruntime-web"):
        export(run, format="web", runtime=tmp_path, out=tmp_path / "out", golden_only=True)
    with pytest.raises(InputError, match="without runtime"):
        export(run, format="web", out=tmp_path / "out", golden_only=True)


def test_an_image_beyond_what_a_canvas_holds_is_refused(address: str, photos: list[Path], tmp_path: Path) -> None:
    huge = tmp_path / "huge.png"
    Image.new("1", (20000, 14000), 1).save(huge)
    chromium_path()
    with chromium(tmp_path / "profile") as tab:
        tab.open(address)
        tab.wait("document.querySelector('#about b')")
        tab.choose("#files", huge, photos[0])
        tab.wait("document.querySelector('#status').textContent.startsWith('2 of 2')")
        verdicts = tab.run("[...document.querySelectorAll('.verdict')].map((each) => each.textContent)")
        wanted = "This image of 20000 × 14000 is 280 million pixels; at most 100 million are decoded."
        assert verdicts[0] == wanted
        assert "%" in verdicts[1]
        # A canvas that stays empty, as those of phones do beyond their limit.
        tab.run("CanvasRenderingContext2D.prototype.drawImage = CanvasRenderingContext2D.prototype.fillRect = () => {}")
        tab.choose("#files", photos[0])
        tab.wait("document.querySelector('.verdict.wrong')")
        assert "too little memory" in tab.run("document.querySelector('.verdict').textContent")
