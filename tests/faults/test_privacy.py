"""What travels names no place, user or host of the machine that wrote it, and nothing holds a secret."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import residua
from residua.cli.app import main
from residua.weights.run import Run
from servers import serving

MARK = "Marker Of A Home"
SECRET = "s3cr3tsignature"
RECIPE = {"epochs": 6, "batch_size": 8, "min_steps": 0, "on_bad": "skip", "workers": 1}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a folder of photos, one of which does not decode in each part."""
    home = tmp_path_factory.mktemp("machine") / MARK
    for part, count in (("train", 8), ("val", 3), ("test", 4)):
        for k, name in enumerate(("ant", "bee")):
            folder = home / "photos" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                drawn = np.random.default_rng(1000 * count + 100 * k + i).integers(0, 100, (32, 32, 3), np.uint8)
                drawn[..., 2 * k] += 150
                Image.fromarray(drawn).save(folder / f"{i}.png")
            (folder / "broken.png").write_bytes(b"none")
    return home


@pytest.fixture(autouse=True)
def _named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home))
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "markeduser")
    monkeypatch.setattr(platform, "node", lambda: "markedhost")


@pytest.fixture(scope="module")
def run(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESIDUA_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setenv("USER", "markeduser")
        return residua.train(home / "photos", "cifar_resnet8", out=home / "runs" / "a", progress=False, **RECIPE)


def marked(folder: Path, *words: str) -> list[str]:
    """Return the files below `folder` that hold one of the words, the checkpoints' folder left out."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "checkpoints" not in path.relative_to(folder).parts:
            content = path.read_bytes()
            found += [
                path.name for word in words if word.encode() in content or json.dumps(word)[1:-1].encode() in content
            ]
    return found


def test_a_run_names_no_place(run: Run) -> None:
    assert {"model.safetensors", "report.html", "report.json", "recipe.toml"} <= {p.name for p in run.folder.iterdir()}
    assert not marked(run.folder, MARK, "markeduser", "markedhost")
    report = (run.folder / "report.json").read_text()
    assert "test/ant/broken.png" in report, "files are named relative to the data"
    assert json.loads(report)["data"]["given"] == "photos"
    assert "residua train photos --model cifar_resnet8" in (run.folder / "recipe.toml").read_text()


def test_its_own_data_is_still_found(run: Run, home: Path, tmp_path: Path) -> None:
    report = residua.evaluate(run.folder)
    assert report.count == 8
    (home / "runs" / "moved").symlink_to(run.folder)
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in ("model.safetensors", "config.json"):
        (alone / name).write_bytes((run.folder / name).read_bytes())
    with pytest.raises(residua.InputError, match=r"photos, whose place on this machine is not recorded.*Name the data"):
        residua.evaluate(alone)
    assert residua.evaluate(alone, home / "photos").count == 8
    origin = run.folder / "checkpoints" / "origin.json"
    kept = origin.read_text()
    for damaged in ("null", "[]", '{"data": {"location": 5}}', '{"data": null}', "\0"):
        origin.write_text(damaged)
        with pytest.raises(residua.InputError, match="Name the data"):
            residua.evaluate(run.folder)
    origin.write_text(kept)


def test_what_is_written_of_a_run_names_no_place(run: Run, home: Path, tmp_path: Path) -> None:
    second = residua.train(
        home / "photos", "cifar_resnet8", out=home / "runs" / "b", weights=run.folder, progress=False, **RECIPE
    )
    assert not marked(second.folder, MARK, "markeduser", "markedhost")
    table = home / "slices.csv"
    table.write_text("path,kind\ntest/ant/0.png,a\n")
    words = [
        str(second.folder),
        "--with",
        str(run.folder),
        "--slices",
        str(table),
        "--report",
        str(tmp_path / "report"),
    ]
    assert main(["evaluate", *words, "--views", "flip"]) == 0
    assert main(["evaluate", str(run.folder), "--calibrate", "--report", str(tmp_path / "calibrated")]) == 0
    assert (
        main(["study", "lesion", str(home / "photos"), "--run", str(run.folder), "--out", str(tmp_path / "study")]) == 0
    )
    residua.load(second.folder).save_pretrained(tmp_path / "published")
    assert (tmp_path / "published" / "README.md").is_file()
    assert not marked(tmp_path, MARK, "markeduser", "markedhost")
    assert not marked(run.folder, MARK), "calibration rewrites the bundle"


def test_an_older_bundle_is_published_without_its_places(run: Run, home: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from residua.weights.bundle.write import write_bundle

    photos = str(home / "photos")
    data = run.data | {"given": photos, "location": photos, "notes": [f"left out: {photos}/test/ant/broken.png"]}
    initial = {"given": f"{home}/w.safetensors", "sha256": "0" * 64}
    write_bundle(tmp_path / "old", replace(run.bundle, data=data, initial_weights=initial), run.model.state_dict())
    assert marked(tmp_path / "old", MARK)
    assert residua.evaluate(tmp_path / "old").count == 8
    residua.load(tmp_path / "old").save_pretrained(tmp_path / "new")
    assert not marked(tmp_path / "new", MARK)
    assert residua.load(tmp_path / "new").data["notes"] == ["left out: test/ant/broken.png"]


def test_full_provenance_names_them(run: Run, home: Path, tmp_path: Path) -> None:
    assert main(["evaluate", str(run.folder), "--full-provenance", "--report", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "report.json").read_text())["data"]["location"] == str(home / "photos")
    words = ["train", str(home / "photos"), "--model", "cifar_resnet8", "--weights", str(run.folder)]
    options = ["--epochs", "1", "--min-steps", "0", "--on-bad", "skip", "--kernels", "eager", "--full-provenance"]
    assert main([*words, "--out", str(tmp_path / "run"), *options]) == 0
    trained = residua.load(tmp_path / "run")
    assert trained.data["location"] == trained.data["given"] == str(home / "photos")
    assert trained.initial_weights == {"given": str(run.folder), "sha256": trained.initial_weights["sha256"]}  # type: ignore[index]
    assert set(marked(tmp_path / "run", MARK)) == {"model.safetensors", "report.html", "report.json", "recipe.toml"}


def test_a_signature_is_written_nowhere(
    run: Run, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RESIDUA_OFFLINE")
    content = (run.folder / "model.safetensors").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    with serving(files={"/w.safetensors": content}) as server:
        address = server.address.replace("//", "//alice:passw0rd@")
        given = f"{address}/w.safetensors?X-Amz-Signature={SECRET}#sha256={digest}"
        out = tmp_path / "run"
        options = ["--epochs", "1", "--batch-size", "8", "--min-steps", "0", "--on-bad", "skip", "--kernels", "eager"]
        words = ["train", str(home / "photos"), "--model", "cifar_resnet8", "--weights", given, "--out", str(out)]
        assert main([*words, *options]) == 0
        assert f"X-Amz-Signature={SECRET}" in server.asked[-1].path, "the server is asked with it"
        server.files.clear()
        monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "empty"))
        assert main([*words[:-1], str(tmp_path / "second"), *options]) == 2
    said = capfd.readouterr()
    assert "could not be downloaded" in said.err
    for secret in (SECRET, "passw0rd"):
        assert secret not in said.err + said.out
        for path in tmp_path.rglob("*"):
            assert secret not in path.name
            assert not path.is_file() or secret.encode() not in path.read_bytes(), path
