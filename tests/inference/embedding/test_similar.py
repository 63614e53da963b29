"""Similar images: the nearest of all, from pixels or from a file, and their page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.runs import COLOURS, colour_run, noise, paint
from residua._base.errors import InputError
from residua.cli.app import main
from residua.inference.embedding.embed import embed
from residua.inference.embedding.embed_to import embed_to
from residua.inference.embedding.similar import similar
from residua.weights.open import load
from residua.weights.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return load(colour_run(tmp_path_factory.mktemp("run") / "run"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name, colour in COLOURS.items():
        paint(folder / f"{name}.png", colour)
    for index in range(30):
        noise(12, index).save(folder / f"x{index:02d}.png")
    return folder


def test_all_pairs_are_compared(run: Run, photos: Path, tmp_path: Path) -> None:
    query = tmp_path / "query.png"
    noise(12, 99).save(query)
    comparison = similar(run, [query, photos / "red.png"], photos, count=5, batch_size=4)
    everything = embed(run, photos)
    for path, answer in zip([query, photos / "red.png"], comparison.queries, strict=True):
        cosines = everything.vectors.astype(float) @ embed(run, path).vectors[0].astype(float)
        order = [index for index in np.argsort(-cosines, kind="stable") if everything.paths[index] != str(path)][:5]
        assert [near.path for near in answer.neighbours] == [everything.paths[index] for index in order]
        assert [near.cosine for near in answer.neighbours] == pytest.approx([cosines[i] for i in order], abs=1e-6)
    assert comparison.images == 33


def test_a_file_of_vectors_serves_as_well(run: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npy"
    embed_to(run, photos, out)
    from_file, from_pixels = similar(run, photos / "red.png", out), similar(run, photos / "red.png", photos)
    assert [near.path for near in from_file.queries[0].neighbours] == [
        near.path for near in from_pixels.queries[0].neighbours
    ]
    with pytest.raises(InputError, match="the end point penultimate"):
        similar(run, photos / "red.png", out, point="stem")
    other = load(colour_run(tmp_path / "other", ("blue", "green", "red")))
    with pytest.raises(InputError, match="other weights"):
        similar(other, photos / "red.png", out)


def test_nothing_to_compare_with(run: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="no image decodes"):
        similar(run, photos / "red.png", tmp_path)
    with pytest.raises(InputError, match=r"bad\.png"):
        similar(run, tmp_path / "bad.png", photos)
    with pytest.raises(InputError, match="count=0"):
        similar(run, photos / "red.png", photos, count=0)
    with pytest.raises(InputError, match="names no image"):
        similar(run, [], photos)


def test_the_command_and_its_page(run: Run, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query, page = paint(tmp_path / "a <b>.png", COLOURS["blue"]), tmp_path / "similar.html"
    words = ["similar", str(run.folder), str(query), str(photos), "--count", "3"]
    assert main([*words, "--out", str(page), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["queries"]
    assert Path(answer["neighbours"][0]["path"]).name == "blue.png"
    assert answer["neighbours"][0]["cosine"] == pytest.approx(1)
    html = page.read_text()
    assert html.count("data:image/png;base64,") == 4
    assert "a &lt;b&gt;.png" in html
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert main(words) == 0
    assert "blue.png" in capsys.readouterr().out
    assert main([*words, "--out", str(tmp_path / "a.png")]) == 2
    assert main(words[:3]) == 2
    (tmp_path / "bad.png").write_bytes(b"no image")
    assert main([*words, str(tmp_path / "bad.png")]) == 1
    assert "bad.png" in capsys.readouterr().err
