"""The command, in-process: exit codes, one paragraph an error, one JSON document with --json."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluation.runs import COLOURS, colour_folder, colour_run, paint
from residua.cli import app
from residua.cli.app import main
from residua.cli.show import print_json
from residua.training.tracking import relay

Output = pytest.CaptureFixture[str]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return colour_folder(tmp_path / "data", count=4)


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Path:
    return colour_run(tmp_path / "run", data=data)


def refused(output: Output, *words: object, code: int = 2) -> str:
    """Run the command, expect this exit code and one paragraph on stderr, and return the paragraph."""
    assert main([str(word) for word in words]) == code
    out, err = output.readouterr()
    assert out == ""
    assert err.startswith("residua: ")
    assert len(err.splitlines()) == 1, err
    return err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "RUN"], "no image"),
        (["predict", "RUN", "PICTURE", "--top", "0"], "--top 0"),
        (["predict", "RUN", "PICTURE", "--top", "many"], "residua predict --help"),
        (
            ["predict", "RUN", "PICTURE", "--batch-size", "0"],
            "Given: --batch-size 0. Wanted: a whole number, 1 and more.",
        ),
        (["predict", "RUN", "PICTURE", "--device", "nonsense"], "nonsense"),
        (["predict", "RUN", "PICTURE", "--format", "xml"], "xml"),
        (["predict", "RUN", "PICTURE", "--format", "csv", "--out", "OUT.csv"], "--format csv with --out OUT.csv"),
        (["predict", "RUN", "PICTURE", "--format", "csv", "--json"], "--format csv with --json"),
        (["predict", "RUN", "PICTURE", "--on-bad", "skip"], "--on-bad skip without --out FILE"),
        (["predict", "PICTURE", "PICTURE"], "which is an image and no run"),
        (["predict", "NOWHERE", "PICTURE"], "holds no model.safetensors"),
        (["predict"], "residua predict --help"),
        (["explain", "RUN", "-", "--out", "OUT.png"], "residua explain --help"),
        (["evaluate", "RUN", "--batch-size", "0"], "Given: --batch-size 0. Wanted: a whole number, 1 and more."),
        (["evaluate", "RUN", "--device", "nonsense"], "nonsense"),
        (["evaluate", "RUN", "--split", "test"], "split 'test'"),
        (["evaluate", "RUN", "--split", "test"], "Choose --split val"),
        (["train", "DATA", "--out", "PICTURE"], "could not be written: it is a file. Wanted: a folder."),
        (["train", "DATA", "--out", "PICTURE/a"], " is a file. Wanted: a folder."),
        (["evaluate", "RUN", "NOWHERE"], "neither a folder nor a known data set"),
        (["evaluate", "RUN", "--report", "PICTURE"], "it is a file. Wanted: a folder."),
        (["evaluate", "RUN", "--report", "PICTURE/below"], "red.png is a file. Wanted: a folder."),
        (["evaluate", "RUN", "--report", "x" * 300], "a name in it is too long (300 bytes"),
        (["models", "nothing*"], "matches no network"),
        (["diff", "resnet50", "resnet51"], "resnet51"),
        (["check", "NOWHERE"], "does not exist"),
        (["train", "NOWHERE", "--out", "OUT"], "neither a folder nor a known data set"),
        (["trian"], "Did you mean train?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_input_that_cannot_be_used(
    run: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    picture = paint(tmp_path / "red.png", COLOURS["red"])
    places = {"RUN": str(run), "PICTURE": str(picture), "NOWHERE": str(tmp_path / "nowhere"), "OUT": "out"}
    given = [places.get(word, word.replace("PICTURE/", f"{picture}/")) for word in words]
    assert said in refused(capsys, *given)


@pytest.mark.parametrize("path", ["x" * 5000, "EMPTY", "gone.png"])
def test_bad_files_are_named_and_the_answer_is_no(
    run: Path, tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    paint(tmp_path / "red.png", COLOURS["red"])
    assert main(["predict", str(run), path, "red.png"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("red.png  red")
    assert path in err
    assert "1 of 2 files gave no answer" in err


def test_an_error_of_the_system_is_input(run: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "runs/a/.lock")

    monkeypatch.setattr("residua.evaluation.evaluate.evaluate", full)
    assert "runs/a/.lock: the disk is full (" in refused(capsys, "evaluate", run)


def test_a_fault_is_called_that(run: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a\nsurprise")

    monkeypatch.setattr("residua.evaluation.evaluate.evaluate", broken)
    said = refused(capsys, "evaluate", run, code=os.EX_SOFTWARE)
    assert "fault of Residua" in said
    assert "KeyError" in said
    assert "--debug" in said
    assert main(["--debug", "evaluate", str(run)]) == os.EX_SOFTWARE
    assert "Traceback" in capsys.readouterr().err
    assert "70: a fault" in app._HELP


def test_stopping_is_neither(run: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("residua.evaluation.evaluate.evaluate", stopped)
    assert "Stopped." in refused(capsys, "evaluate", run, code=130)


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        (["models", "resnet*"], list, 0),
        (["diff", "resnet50", "resnet50_v1"], dict, 0),
        (["diff", "resnet50", "resnet50"], dict, 0),
        (["check", "DATA"], dict, None),
        (["evaluate", "RUN"], dict, 0),
        (["evaluate", "RUN", "DATA", "--report", "REPORT"], dict, 0),
        (["predict", "RUN", "DATA"], list, 0),
        (["predict", "RUN", "NOWHERE"], list, 2),
        (["train", "DATA", "--model", "cifar_resnet8", "--out", "OUT", "--max-steps", "1", "--epochs", "0"], dict, 0),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_json_is_one_document(
    run: Path, data: Path, tmp_path: Path, capsys: Output, words: list[str], kind: type, code: int | None
) -> None:
    places = {"RUN": run, "DATA": data, "NOWHERE": tmp_path / "nowhere"}
    places |= {"OUT": tmp_path / "out", "REPORT": tmp_path / "report"}
    extra = ["--min-steps", "0", "--batch-size", "4", "--image-size", "32"] if words[0] == "train" else []
    found = main([*(str(places.get(word, word)) for word in words), *extra, "--json"])
    out, err = capsys.readouterr()
    assert code in (None, found), err

    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is no JSON")

    assert isinstance(json.loads(out, parse_constant=refuse), kind)


def test_json_has_no_nan(capsys: Output) -> None:
    print_json({"loss": float("nan"), "path": Path("a")})
    assert json.loads(capsys.readouterr().out) == {"loss": None, "path": "a"}


@pytest.mark.parametrize("form", ["table", "jsonl", "csv"])
def test_names_that_are_no_utf8(run: Path, tmp_path: Path, capfdbinary: Any, form: str) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    name = os.fsdecode(b"\xff.png")
    (folder / name).write_bytes(paint(tmp_path / "red.png", COLOURS["red"]).read_bytes())
    (folder / os.fsdecode(b"\xfe.png")).write_bytes(b"no picture")
    assert main(["predict", str(run), str(folder), "--format", form]) == 1
    out, err = capfdbinary.readouterr()
    assert b"\\udcff.png" in out
    assert b"\\udcfe.png" in err
    if form == "jsonl":
        assert json.loads(out)["path"] == str(folder / name)


def test_a_run_of_names_that_are_no_utf8(tmp_path: Path, capfdbinary: Any) -> None:
    data = colour_folder(tmp_path / "data", count=4)
    odd = os.fsdecode(b"\xff")
    (data / "blue").rename(data / odd)
    words = ["train", str(data), "--out", str(tmp_path / "run")]
    fields = ["--model", "cifar_resnet8", "--max-steps", "2", "--epochs", "1", "--batch-size", "4", "--min-steps", "0"]
    assert main([*words, *fields, "--json"]) == 0
    assert json.loads(capfdbinary.readouterr().out)["classes"][-1] == odd
    assert main([*words, "--resume", "--json"]) == 0
    assert main(["predict", str(tmp_path / "run"), str(data / odd), "--format", "csv"]) == 0


def test_a_report_of_names_that_are_no_utf8(tmp_path: Path, capfdbinary: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = os.fsdecode(b"\xff")
    monkeypatch.setitem(COLOURS, odd, COLOURS["blue"])
    monkeypatch.delitem(COLOURS, "blue")
    data = colour_folder(tmp_path / "data", count=4)
    (data / "red" / "00.png").rename(data / "green" / os.fsdecode(b"\xfe.png"))
    run = colour_run(tmp_path / "run", tuple(COLOURS))
    report = tmp_path / "report"
    assert main(["evaluate", str(run), str(data), "--report", str(report), "--json"]) == 0
    out, _ = capfdbinary.readouterr()
    for document in (json.loads(out), json.loads((report / "report.json").read_text(encoding="utf-8"))):
        assert document["classes"] == ["red", "green", odd]
        assert document["worst"][0]["path"] == os.path.join("green", os.fsdecode(b"\xfe.png"))
    assert "\\udcff" in (report / "report.html").read_text(encoding="utf-8")


def test_control_characters_do_not_reach_the_terminal(run: Path, tmp_path: Path, capfd: Output) -> None:
    (tmp_path / "e\x1b[31mvil\n.jpg").write_text("text")
    assert main(["predict", str(run), str(tmp_path / "e\x1b[31mvil\n.jpg")]) == 2
    err = capfd.readouterr().err
    assert "\x1b" not in err
    assert "e\\x1b[31mvil\\n.jpg" in err


def test_a_network_of_any_legal_depth_is_found(capfd: Output) -> None:
    assert main(["models", "cifar_resnet8", "--json"]) == 0
    (row,) = json.loads(capfd.readouterr().out)
    assert (row["name"], row["params"]) == ("cifar_resnet8", None)


def test_what_an_evaluation_leaves_out_is_stated(run: Path, data: Path, tmp_path: Path, capsys: Output) -> None:
    assert main(["evaluate", str(run), "--no-cache"]) == 0
    assert "top-5" not in capsys.readouterr().out, "of three classes it is always 100%"
    for file in (data / "red").iterdir():
        file.write_bytes(b"no image")
    (data / "extra.png").write_bytes(b"beside")
    colour_run(run, data=None)
    words = ["--no-cache", "--on-bad", "skip"]
    assert main(["evaluate", str(run), str(data), *words]) == 0
    out, err = capsys.readouterr()
    assert "Note: 4 of the train files do not decode and were left out of the evaluation." in err
    assert "in no class and left out: 1 image and 0 other files (extra.png)." in err
    assert "not measured: red." in err
    (row,) = (line for line in out.splitlines() if line.startswith("red "))
    assert row.split() == ["red", "–", "–", "–", "0"]
    colour_run(tmp_path / "other")
    assert main(["compare", str(run), str(tmp_path / "other"), str(data), *words]) == 0
    err = capsys.readouterr().err
    assert "Note: 4 of the train files do not decode and were left out of the evaluation." in err
    assert "not measured: red." in err


def test_a_part_without_labels_is_the_reason_that_is_given(
    run: Path, data: Path, tmp_path: Path, capsys: Output
) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    data.rename(parts / "train")
    paint(parts / "test" / "1.png", COLOURS["red"])
    said = refused(capsys, "evaluate", run, parts, "--split", "test")
    assert "test holds 1 image without class folders, so without labels, and was left out" in said
    assert "Put its images into class folders, or choose --split val." in said


def test_classes_that_the_run_does_not_know(run: Path, data: Path, capsys: Output) -> None:
    (data / "red").rename(data / "rouge")
    said = refused(capsys, "evaluate", run, data)
    assert "the data has rouge, which the run does not know" in said
    assert "as the run names its classes" in said
    assert "leave this run out" not in said


def test_only_train_runs_in_several_processes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "_FIRST_SECONDS", 0.0)
    monkeypatch.delitem(sys.modules, "residua.runtime.distributed.group", raising=False)
    for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    for words, said in (
        (["sweep", "digits", "--model", "cifar_resnet8", "--out", "runs"], "residua sweep in 2 processes"),
        (["train", "digits", "--folds", "3", "--out", "runs"], "folds with 2 processes"),
        (["train", "digits", "--dry-run"], "a dry run in 2 processes"),
        (["train", "digits", "--epochs", "many"], "--epochs"),
    ):
        monkeypatch.setenv("RANK", "1")
        assert main(words) == 2
        assert capsys.readouterr().err == "", "one paragraph, by the first process"
        monkeypatch.setenv("RANK", "0")
        assert main(words) == 2
        assert said in capsys.readouterr().err


def test_a_network_alone_lists_its_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "resnet50", "--json"]) == 0
    alone = capsys.readouterr().out
    assert main(["weights", "list", "resnet50", "--json"]) == 0
    assert alone == capsys.readouterr().out
    assert "IMAGENET1K_V2" in alone
    assert main(["weights", "gett", "resnet50"]) == 2
    assert "Did you mean get?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ("http://127.0.0.1:9/a", "http://127.0.0.1:9/a, an address. Wanted: a folder of shards on this machine"),
        ("nothere", "nothere, which is no folder"),
    ],
)
def test_pack_checks_folders_alone(check: str, words: str, capsys: Output) -> None:
    assert words in refused(capsys, "pack", "--check", check)


@pytest.mark.parametrize("left", [True, False])
def test_a_tracker_that_hangs_does_not_keep_the_process(monkeypatch: pytest.MonkeyPatch, left: bool) -> None:
    ended: list[int] = []
    monkeypatch.setattr(app, "main", lambda: 3)
    monkeypatch.setattr(relay, "are_left_behind", lambda: left)
    monkeypatch.setattr(os, "_exit", ended.append)
    for name in ("settle_streams", "stop_on_sigterm", "settle_waiting"):
        monkeypatch.setattr(app, name, lambda: None)
    with pytest.raises(SystemExit) as exit_:
        app.run()
    assert exit_.value.code == 3
    assert ended == [3] * left
