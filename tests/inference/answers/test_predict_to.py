"""Files of answers: whole or absent, the same after kills, refused where they do not belong together."""

from __future__ import annotations

import csv
import hashlib
import json
import multiprocessing
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluation.runs import COLOURS, colour_run, paint
from residua._base.errors import InputError
from residua.cli.app import main
from residua.inference.answers import partial
from residua.inference.answers import predict_to as predict_to_module
from residua.inference.answers.job import job_of
from residua.inference.answers.journal import journal_of, partial_of
from residua.inference.answers.predict_to import predict_to
from residua.inference.predict import predict_stream
from residua.weights.open import load
from residua.weights.prediction import Prediction

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["residua.inference.answers.predict_to", "residua.weights.open"])
IMAGES, BATCH = 240, 8


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colour_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 links to images of three colours, and two files that are no images."""
    folder = tmp_path_factory.mktemp("photos")
    for name, colour in COLOURS.items():
        paint(folder / f"{name}.png", colour)
    for index in range(IMAGES - len(COLOURS)):
        (folder / f"x{index:03d}.png").symlink_to(folder / f"{list(COLOURS)[index % 3]}.png")
    for name in ("bad, one.png", "x100b.png"):
        (folder / name).write_bytes(b"no image")
    return folder


def write(run: Path, photos: Path, out: Path, **changes: Any) -> Any:
    return predict_to(run, photos, out, **{"top": 2, "batch_size": BATCH, "device": "cpu", "workers": 1} | changes)


def _work(run: str, photos: str, out: str, threads: int) -> None:
    torch.set_num_threads(threads)
    partial._EVERY_SECONDS = 0.0  # so that there is something to go on with

    def slowly(done: int, total: int) -> None:
        time.sleep(0.004)

    write(Path(run), Path(photos), Path(out), progress=slowly)


def test_rows_are_those_of_the_stream(run: Path, photos: Path, tmp_path: Path) -> None:
    written = write(run, photos, tmp_path / "a.jsonl")
    rows = [json.loads(line) for line in written.path.read_text().splitlines()]
    items = list(predict_stream(run, photos, top=2, batch_size=BATCH, device="cpu", workers=1))
    assert (written.files, written.bad, written.rows, written.resumed) == (IMAGES + 2, 2, IMAGES + 2, 0)
    for row, item in zip(rows, items, strict=True):
        assert row["path"] == item.path
        if isinstance(item, Prediction):
            assert (row["label"], row["probability"], row["error"]) == (item.labels[0], item.probabilities[0], None)
            assert (row["labels"], row["probabilities"]) == (list(item.labels), list(item.probabilities))
        else:
            assert (row["label"], row["probability"], row["labels"], row["error"]) == (None, None, [], item.reason)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"], "nothing is left beside it"


def test_csv_and_skipped_files(run: Path, photos: Path, tmp_path: Path) -> None:
    written = write(run, photos, tmp_path / "a.csv", on_bad="skip")
    with written.path.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["path", "label", "probability", "label2", "probability2", "error"]
    assert (written.bad, written.rows, len(rows)) == (2, IMAGES, IMAGES)
    assert all(len(row) == 6 and row[5] == "" and float(row[2]) >= float(row[4]) for row in rows)
    recorded = write(run, photos, tmp_path / "b.csv").path.read_text()
    assert f'"{photos}/bad, one.png",,,,,"not an image' in recorded


def test_parquet_has_the_same_rows(run: Path, photos: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow, of the extra shards, is not installed")
    lines = write(run, photos, tmp_path / "a.jsonl").path.read_text().splitlines()
    table = parquet.read_table(write(run, photos, tmp_path / "a.parquet").path)
    assert table.to_pylist() == [json.loads(line) for line in lines]
    assert [str(field.type) for field in table.schema][1:3] == ["string", "double"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "a.parquet"]


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_killed_at_any_moment_the_bytes_are_the_same(run: Path, photos: Path, tmp_path: Path, ending: str) -> None:
    whole, out = tmp_path / f"whole.{ending}", tmp_path / f"a.{ending}"
    chance, resumed = random.Random(ending), 0
    undisturbed = _SERVER.Process(target=_work, args=(str(run), str(photos), str(whole), 1))
    undisturbed.start()
    undisturbed.join()
    for _ in range(4):
        process = _SERVER.Process(target=_work, args=(str(run), str(photos), str(out), 1))
        process.start()
        while process.is_alive() and not partial_of(out).exists():
            time.sleep(0.001)
        process.join(chance.uniform(0, 0.08))
        process.kill()
        process.join()
        if out.exists():
            break
        resumed = max(resumed, len(partial_of(out).read_bytes()))
        # What is torn off at a power failure: the end of the rows or of the journal.
        with partial_of(out).open("ab") as stream:
            stream.write(b'{"path": "torn')
        with journal_of(out).open("ab") as stream:
            stream.write(b'{"files": 9')
    last = _SERVER.Process(target=_work, args=(str(run), str(photos), str(out), 1))
    last.start()
    last.join()
    assert last.exitcode == 0
    assert resumed, "no kill left rows behind"
    assert hashlib.sha256(out.read_bytes()).digest() == hashlib.sha256(whole.read_bytes()).digest()
    assert not partial_of(out).exists()
    assert not journal_of(out).exists()


class Stop(Exception):
    pass


def _begin(run: Path, photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    def stop(done: int, total: int) -> None:
        if done >= 5 * BATCH:
            raise Stop

    monkeypatch.setattr(partial, "_EVERY_SECONDS", 0.0)
    with pytest.raises(Stop):
        write(run, photos, out, progress=stop, **changes)


def test_a_job_goes_on_with_what_it_was_begun_with_alone(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.jsonl"
    _begin(run, photos, out, monkeypatch)
    assert not out.exists()
    with pytest.raises(InputError, match=r"top=3, where .*a.jsonl.partial was begun with top=2.*delete .*journal"):
        write(run, photos, out, top=3)
    with pytest.raises(InputError, match=r"batch_size=4.* on_bad='skip'"):
        write(run, photos, out, batch_size=4, on_bad="skip")
    with pytest.raises(InputError, match="weights="):
        write(colour_run(tmp_path / "other", ("blue", "green", "red")), photos, out)
    with pytest.raises(InputError, match="of which the first 40 are not those"):
        write(run, sorted(photos.iterdir(), reverse=True), out)
    with pytest.raises(InputError, match="of which the first 40 are not those"):
        write(run, sorted(photos.iterdir())[:12], out)
    written = write(run, photos, out)
    assert (written.resumed, written.files) == (5 * BATCH, IMAGES + 2)
    assert out.read_bytes() == write(run, photos, tmp_path / "b.jsonl").path.read_bytes()


def test_a_kill_between_the_name_and_the_end_of_the_journal(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(Stop()))
        with pytest.raises(Stop):
            write(run, photos, out)
    assert journal_of(out).exists()
    files = sorted(photos.iterdir())
    with pytest.raises(InputError, match=r"are not those that .*a\.jsonl answers"):
        write(run, files[::-1], out)
    with pytest.raises(InputError, match=r"are all those that .*a\.jsonl answers"):
        write(run, [photos, files[0]], out)
    assert journal_of(out).exists()
    assert write(run, photos, out).files == IMAGES + 2
    assert not journal_of(out).exists()
    with pytest.raises(InputError, match=r"a\.jsonl, which exists"):
        write(run, photos, out)


def test_one_process_at_a_time(run: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"

    def again(done: int, total: int) -> None:
        with pytest.raises(InputError, match="which another process writes"):
            write(run, photos, out)

    assert write(run, photos, out, progress=again).files == IMAGES + 2


def test_a_file_that_another_process_published_meanwhile_stays(
    run: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.jsonl"
    check = predict_to_module.check_out

    def checked(path: Path) -> Path:
        file = check(path)
        file.write_text("of another process")
        return file

    monkeypatch.setattr(predict_to_module, "check_out", checked)
    with pytest.raises(InputError, match=r"a\.jsonl, which exists"):
        write(run, photos, out)
    assert out.read_text() == "of another process"
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_job_states_all_that_decodes_and_computes(run: Path, tmp_path: Path) -> None:
    options: Any = {"precision": "fp32", "device": "cpu", "top": 1, "batch_size": 1, "on_bad": "skip"}
    job = job_of(load(run), tmp_path / "a.csv", engine="onnxruntime", **options)
    assert {"torch", "onnxscript", "onnxruntime", "decoders"} <= set(job)
    assert "simplejpeg" in job["decoders"]


def test_actors_are_rays(run: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"actors=2 with engine='eager'"):
        write(run, photos, tmp_path / "a.jsonl", actors=2)


def test_rows_of_a_stranger_stay(run: Path, photos: Path, tmp_path: Path) -> None:
    partial_of(tmp_path / "a.csv").write_text("mine\n")
    with pytest.raises(InputError, match="no file of Residua's"):
        write(run, photos, tmp_path / "a.csv")
    assert partial_of(tmp_path / "a.csv").read_text() == "mine\n"


def test_paths_are_taken_as_they_are_needed(run: Path, photos: Path, tmp_path: Path) -> None:
    files, taken, ahead = [path for path in sorted(photos.iterdir()) if "bad" not in path.name], 0, []

    def source() -> Iterator[Path]:
        nonlocal taken
        for path in files:
            taken += 1
            yield path

    write(run, source(), tmp_path / "a.jsonl", progress=lambda done, total: ahead.append(taken - done))
    assert max(ahead) <= 2 * BATCH, "paths are not collected"


def test_the_total_is_counted_on_the_side(run: Path, photos: Path, tmp_path: Path) -> None:
    totals = []

    def slowly(done: int, total: int) -> None:
        time.sleep(0.002)
        totals.append(total)

    write(run, photos, tmp_path / "a.jsonl", progress=slowly)
    assert totals[-1] == IMAGES + 2


@pytest.mark.parametrize("name", ["a.txt", "nowhere/a.csv", "."])
def test_files_that_cannot_be_written(run: Path, photos: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="out="):
        write(run, photos, tmp_path / name)


def test_the_command(run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", str(run), str(photos), "--device", "cpu", "--batch-size", "64"]
    assert main([*words, "--out", str(tmp_path / "a.csv"), "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["files"] == IMAGES + 2
    assert f"2 of {IMAGES + 2} files gave no answer, each with a row" in captured.err
    assert main([*words, "--out", str(tmp_path / "b.csv"), "--on-bad", "skip"]) == 0
    assert main([*words, "--out", str(tmp_path / "b.csv")]) == 2
    assert main([*words, "--engine", "ray"]) == 2
    assert "--out" in capsys.readouterr().err
