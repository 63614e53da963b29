"""Embeddings: the features of the network, in order, in files and through kills."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluation.runs import COLOURS, colour_run, noise, paint
from residua._base.errors import Damaged, InputError
from residua.cli.app import main
from residua.inference.answers import partial
from residua.inference.answers.journal import journal_of, partial_of
from residua.inference.embedding import vectors_file
from residua.inference.embedding.embed import embed, embed_stream
from residua.inference.embedding.embed_to import embed_to
from residua.inference.embedding.similar import similar
from residua.inference.embedding.vectors_file import open_vectors, paths_file
from residua.inference.image_files import BadFile
from residua.weights.bundle.value import hash_tensors
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
    for index in range(20):
        noise(12, index).save(folder / f"x{index:02d}.png")
    return folder


def test_they_are_the_features_of_the_network(run: Run, photos: Path) -> None:
    embeddings = embed(run, photos, normalise=False, batch_size=4)
    assert [Path(path).name for path in embeddings.paths] == sorted(path.name for path in photos.iterdir())
    assert (embeddings.vectors.shape, embeddings.vectors.dtype) == ((23, 3), np.float32)
    for path, vector in zip(embeddings.paths, embeddings.vectors, strict=True):
        with torch.no_grad():
            pooled = run.model.forward_features(run.preprocess(path)[None]).mean(dim=(2, 3))[0]
        np.testing.assert_allclose(vector, pooled.numpy(), rtol=1e-5, atol=1e-6)


def test_length_and_point(run: Run, photos: Path) -> None:
    unit = embed(run, photos)
    np.testing.assert_allclose(np.linalg.norm(unit.vectors, axis=1), 1, atol=1e-6)
    stem = embed(run, [photos / "red.png"], point="stem", normalise=False)
    assert stem.point == "stem"
    assert not np.array_equal(stem.vectors, embed(run, [photos / "red.png"], normalise=False).vectors)


def test_a_run_embeds_what_it_preprocesses(run: Run, photos: Path) -> None:
    files = sorted(photos.iterdir())
    np.testing.assert_allclose(run.embed(files), embed(run, files).vectors, atol=1e-6)
    red = np.zeros((8, 8, 3), np.uint8)
    red[:, :, 0] = 255
    np.testing.assert_allclose(run.embed(red), run.embed(photos / "red.png"), atol=1e-6)
    with pytest.raises(InputError, match="no image"):
        run.embed([])


def test_bad_files_are_named(run: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    items = list(embed_stream(run, [tmp_path / "bad.png", photos / "red.png"]))
    assert isinstance(items[0], BadFile)
    with pytest.raises(InputError, match=r"1 of 2 files gave no answer: .*bad\.png"):
        embed(run, [tmp_path / "bad.png", photos / "red.png"])


def test_npy_with_its_paths(run: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npy"
    (tmp_path / "bad.png").write_bytes(b"no image")
    written = embed_to(run, [photos, tmp_path / "bad.png"], out, batch_size=4, device="cpu")
    expected = embed(run, photos, batch_size=4, device="cpu")
    assert np.array_equal(np.load(out), expected.vectors)
    beside = json.loads(paths_file(out).read_text())
    assert beside["paths"] == list(expected.paths)
    assert beside["embeddings"]["weights_sha256"] == run.weights_sha256
    assert (written.rows, written.dimensions, [Path(each.path).name for each in written.bad]) == (23, 3, ["bad.png"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "a.paths.json", "bad.png"]
    blocks = list(open_vectors(out).blocks())
    assert blocks[0][0] == list(expected.paths)
    assert np.array_equal(blocks[0][1], expected.vectors)


def test_parquet(run: Run, photos: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "a.parquet"
    written = embed_to(run, photos, out, batch_size=4, device="cpu")
    expected = embed(run, photos, batch_size=4, device="cpu")
    table = parquet.read_table(out)
    assert table.column("path").to_pylist() == list(expected.paths)
    assert np.array_equal(np.array(table.column("embedding").to_pylist(), np.float32), expected.vectors)
    assert written.paths_file is None
    file = open_vectors(out)
    assert (file.count, file.header["point"]) == (23, "penultimate")
    assert np.array_equal(next(file.blocks())[1], expected.vectors)


def test_a_job_goes_on(run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial, "_EVERY_SECONDS", 0.0)
    out, keywords = tmp_path / "a.npy", {"batch_size": 4, "device": "cpu"}

    def stop(done: int, total: int) -> None:
        if done >= 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_to(run, photos, out, progress=stop, **keywords)  # type: ignore[arg-type]
    assert partial_of(out).is_file()
    assert not out.exists()
    with pytest.raises(InputError, match="point='stem'"):
        embed_to(run, photos, out, point="stem", **keywords)  # type: ignore[arg-type]
    written = embed_to(run, photos, out, **keywords)  # type: ignore[arg-type]
    assert written.resumed == 8
    assert np.array_equal(np.load(out), embed(run, photos, **keywords).vectors)  # type: ignore[arg-type]
    assert not partial_of(out).exists()
    assert not journal_of(out).exists()


def test_a_kill_between_the_names_of_the_two_files(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.npy"
    paths_file(out).write_text("mine")
    with pytest.raises(InputError, match="no file of paths stands"):
        embed_to(run, photos, out, batch_size=4, device="cpu")
    paths_file(out).unlink()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(vectors_file, "_npy_header", killed)
        with pytest.raises(KeyboardInterrupt):
            embed_to(run, photos, out, batch_size=4, device="cpu")
    assert paths_file(out).exists()
    assert not out.exists()
    assert embed_to(run, photos, out, batch_size=4, device="cpu").resumed == 23
    assert np.array_equal(np.load(out), embed(run, photos, batch_size=4, device="cpu").vectors)


def test_a_file_states_the_weights_that_made_it(photos: Path, tmp_path: Path) -> None:
    run = load(colour_run(tmp_path / "run"))
    with torch.no_grad():
        next(run.model.parameters()).mul_(1.5)
    embed_to(run, photos / "red.png", tmp_path / "a.npy", device="cpu")
    header = open_vectors(tmp_path / "a.npy").header
    assert header["weights_sha256"] == hash_tensors(run.model.state_dict()) != run.weights_sha256
    assert similar(run, photos / "red.png", tmp_path / "a.npy", device="cpu").images == 1
    with pytest.raises(InputError, match="other weights"):
        similar(load(run.folder), photos / "red.png", tmp_path / "a.npy", device="cpu")


def test_files_that_are_none(run: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npy"
    embed_to(run, photos, out)
    for content in (np.zeros((2, 3), np.float32), np.zeros((23, 3)), np.zeros((23, 4), np.float32)):
        np.save(out, content)
        with pytest.raises(Damaged):
            open_vectors(out)
    for damaged in (b"nothing", b"", b"PK\3\4 a zip that was cut", b"\x93NUMPY\1\0\x76\0{'descr'"):
        out.write_bytes(damaged)
        with pytest.raises(Damaged, match="no embeddings"):
            open_vectors(out)
    out.unlink()
    paths_file(out).unlink()
    embed_to(run, photos, out)
    whole = paths_file(out).read_bytes()
    assert json.loads(whole)["paths"] == [path for paths, _ in open_vectors(out).blocks() for path in paths]
    for lines in (whole[: len(whole) // 2], whole.replace(b",\n", b",\n\n", 1), b"{}", b"", whole[::-1]):
        paths_file(out).write_bytes(lines)
        with pytest.raises(Damaged):
            open_vectors(out)
    paths_file(out).unlink()
    with pytest.raises(Damaged):
        open_vectors(out)


@pytest.fixture
def command(run: Run, photos: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*words: str) -> tuple[int, str, str]:
        code = main(["embed", *words])
        return code, *capsys.readouterr()

    return call


def test_the_command(command: Any, run: Run, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.npy"
    code, stdout, stderr = command(str(run.folder), str(photos), "--out", str(out), "--no-normalise", "--json")
    document = json.loads(stdout)
    assert (code, document["rows"], document["normalised"]) == (0, 23, False)
    code, stdout, stderr = command(str(run.folder), str(photos), "--out", str(out))
    assert (code, stdout) == (2, "")
    assert "exists" in stderr
    (tmp_path / "bad.png").write_bytes(b"no image")
    code, _, stderr = command(str(run.folder), str(photos), str(tmp_path / "bad.png"), "--out", str(tmp_path / "b.npy"))
    assert code == 1
    assert "bad.png" in stderr
    for words in (
        [str(run.folder)],
        [str(run.folder), str(photos)],
        [str(run.folder), str(photos), "--out", str(tmp_path / "a.txt")],
        [str(run.folder), str(photos), "--out", str(tmp_path / "c.npy"), "--point", "nowhere"],
        [str(run.folder), str(tmp_path / "bad.png"), "--out", str(tmp_path / "d.npy")],
    ):
        assert command(*words)[0] == 2
    assert not (tmp_path / "c.npy").exists()
    assert not (tmp_path / "d.npy").exists()
