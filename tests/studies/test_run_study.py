"""The engine: what is done stays done, what is killed goes on, what is foreign is refused, failures are named."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

import residua
from residua._base.errors import InputError
from residua._base.signals import Interrupted
from residua.studies.catalog import get_study
from residua.studies.command import command_of
from residua.studies.grid import make_grid
from residua.studies.run_study import study
from residua.studies.study import StudyOptions
from residua.weights.open import load
from studies.grids import TINY, hashes

ASKED: dict[str, Any] = {"quick": True, "model": "cifar_resnet8", "jobs": 2, "progress": False, **TINY}
ARMS = {"cifar_resnet8-seed0", "cifar_resnet8-plain-seed0"}


def test_a_study_ends_in_a_page_a_document_and_ordinary_runs(finished_study: Path) -> None:
    document = json.loads((finished_study / "study.json").read_text())
    assert {f"{row['arm']}-seed0" for row in document["arms"]} == ARMS == set(hashes(finished_study))
    assert document["failed"] == {}
    for found in document["results"]:
        run = load(finished_study / "runs" / f"{found['arm']}-seed0")
        assert run.weights_sha256 == found["weights_sha256"]
        assert 1 - run.metrics["top1"] == found["test_error"]
        assert run.data["counts"]["train"] == 200
    page = (finished_study / "study.html").read_text()
    assert "<script" not in page
    assert not re.search(r"(src|href|url)\W+(https?:)?//", page)


def test_a_finished_study_trains_nothing_again(finished_study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, document = hashes(finished_study), json.loads((finished_study / "study.json").read_text())
    monkeypatch.setattr("residua.runtime.environment.datetime", None)  # when and where was noted while measuring
    monkeypatch.chdir(finished_study.parent)  # the document names the folder by its last part
    report = eval(document["command"], {"residua": residua})
    assert hashes(finished_study) == before
    assert report.failed == {}
    assert report.to_dict() == document
    assert document["seeds"] == 1
    assert {"torch", "processor", "date"} <= document["versions"].keys()


def test_what_repeats_a_study_is_for_the_shell_where_the_command_can_say_it(tmp_path: Path) -> None:
    words: dict[str, Any] = {
        "options": StudyOptions(quick=True, depths=(8, 20)),
        "seeds": 2,
        "recipe": None,
        "data_dir": None,
    }
    grid = make_grid(get_study("degradation"), "digits", tmp_path, **words, overrides={"epochs": 3})
    wanted = f"residua study degradation digits --quick --seeds 2 --depths 8,20 --jobs 2 --epochs 3 --out {tmp_path}"
    assert command_of(grid, None, 2, {"epochs": 3}) == wanted
    assert "--train-images 0 --out" in command_of(grid, None, None, {"train_images": 0})
    assert "nesterov=False, out=" in command_of(grid, None, None, {"nesterov": False})
    words["options"] = StudyOptions(quick=True, depths=(8, 20), groups=("residual",))
    grid = make_grid(get_study("degradation"), "digits", tmp_path, **words, overrides={})
    assert [arm.label for arm in grid.arms] == ["residual-8", "residual-20"]
    assert "--groups residual" in command_of(grid, None, None, {})


@pytest.mark.parametrize(
    ("name", "data", "changes", "said"),
    [
        ("lesion", "digits", {"epochs": 3}, "recipe.epochs is 3 now, was 2"),
        ("lesion", "digits", {"quick": False}, "form is full now, was quick"),
        ("lesion", "digits", {"model": "cifar_resnet14"}, "arms.cifar_resnet14 is new"),
        ("activations", "digits", {"model": None}, "study is activations now, was lesion"),
        ("lesion", "colours", {}, "data is"),
    ],
)
def test_a_folder_of_another_study_is_refused(
    finished_study: Path, tmp_path: Path, name: str, data: str, changes: dict[str, Any], said: str
) -> None:
    from evaluation.runs import colour_folder

    given = str(colour_folder(tmp_path / "colours", count=20)) if data == "colours" else data
    with pytest.raises(InputError, match=re.escape(said)):
        study(name, given, finished_study, **{**ASKED, **changes})


@pytest.mark.parametrize("content", [b"", b"[[[", b"null", b"[]", b"\xff\xfe", b"{" * 100_000, b'{"study": "lesion"}'])
def test_a_damaged_record_of_the_grid_is_refused(finished_study: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plan.json").write_bytes(content)
    with pytest.raises(InputError, match=r"plan\.json|started differently"):
        study("lesion", "digits", tmp_path, **ASKED)


def test_a_damaged_measurement_is_made_again(finished_study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_study, tmp_path / "study")
    place = folder / "measured/cifar_resnet8-seed0.json"
    was = json.loads(place.read_text())
    before = hashes(folder)
    place.write_text(place.read_text()[:-20])
    study("lesion", "digits", folder, **ASKED)
    assert hashes(folder) == before, "nothing was trained again"
    assert json.loads(place.read_text())["measured"] == was["measured"]


def test_what_travels_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    from evaluation.runs import colour_folder

    data = colour_folder(tmp_path / "secret place/photos", count=20)
    report = study("lesion", data, tmp_path / "secret place/out", **ASKED)
    (tmp_path / "secret place/out/runs/cifar_resnet8-seed0/model.safetensors").write_bytes(b"damaged")
    report = study("lesion", data, tmp_path / "secret place/out", **ASKED)
    assert set(report.failed) == {"cifar_resnet8-seed0"}
    assert report.data["given"] == "photos"
    assert "'photos'" in report.command
    for name in ("study.html", "study.json"):
        text = (tmp_path / "secret place/out" / name).read_text()
        assert "secret" not in text
        assert str(Path.home()) not in text
        assert platform.node() not in text


def test_figures_are_files_of_their_own(finished_study: Path, tmp_path: Path) -> None:
    page = (finished_study / "study.html").read_text()
    files = sorted((finished_study / "figures").iterdir())
    assert [path.name for path in files] == [f"{number}.svg" for number in range(1, page.count("<svg") + 1)]
    for path in files:
        text = path.read_text()
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert "var(" not in text
        assert 'fill="#ffffff"' in text


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear reader")
    with pytest.raises(InputError, match=re.escape("already holds thesis.tex")):
        study("lesion", "digits", tmp_path, **ASKED)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "thesis.tex"]


def test_the_failure_of_one_arm_is_named_and_the_others_are_kept(finished_study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_study, tmp_path / "study")
    bundle = folder / "runs/cifar_resnet8-plain-seed0/model.safetensors"
    content = bytearray(bundle.read_bytes())
    content[-1] ^= 1
    bundle.write_bytes(content)
    before = hashes(folder)
    report = study("lesion", "digits", folder, **ASKED)
    assert set(report.failed) == {"cifar_resnet8-plain-seed0"}
    assert "damaged" in report.failed["cifar_resnet8-plain-seed0"]
    assert [result.arm for result in report.results.results] == ["cifar_resnet8"]
    assert hashes(folder) == before
    assert "cifar_resnet8-plain-seed0" in (folder / "study.html").read_text()


def test_a_killed_study_goes_on_and_ends_as_if_it_had_not_been(finished_study: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished_study, tmp_path / "study")
    for place in (folder / "runs/cifar_resnet8-plain-seed0", folder / "measured/cifar_resnet8-plain-seed0.json"):
        shutil.rmtree(place, ignore_errors=True)
        place.unlink(missing_ok=True)
    (folder / "study.json").unlink()
    asked = {**ASKED, "checkpoint_every_steps": 1}
    code = f"from residua.studies.run_study import study; study('lesion', 'digits', {str(folder)!r}, **{asked!r})"
    process = subprocess.Popen([sys.executable, "-c", code])
    while process.poll() is None and not list(folder.glob("runs/*/checkpoints/step-*")):
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (folder / "study.json").exists()
    # The workers of a killed study save themselves and end.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and any(_held(run) for run in folder.glob("runs/*")):
        time.sleep(0.1)
    study("lesion", "digits", folder, **ASKED)
    ours, theirs = (json.loads((place / "study.json").read_text()) for place in (folder, finished_study))
    assert [one["weights_sha256"] for one in ours["results"]] == [one["weights_sha256"] for one in theirs["results"]]
    assert [one["measured"] for one in ours["results"]] == [one["measured"] for one in theirs["results"]]


def _held(folder: Path) -> bool:
    from residua._base.lock import exclusive

    try:
        with exclusive(folder):
            return False
    except InputError:
        return True


def test_a_signal_saves_all_and_names_the_command_that_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from residua.studies import run_study as engine

    def signalled(*given: Any, **options: Any) -> dict[str, str]:
        os.kill(os.getpid(), signal.SIGTERM)
        return {}

    monkeypatch.setattr(engine, "run_jobs", signalled)
    with pytest.raises(Interrupted) as error:
        study("lesion", "digits", tmp_path, **ASKED)
    assert error.value.exit_code == 143
    assert "residua.study('lesion', 'digits', quick=True, model='cifar_resnet8', jobs=2, epochs=2" in str(error.value)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("lesoin", {}, "Did you mean lesion?"),
        ("lesion", {"seeds": 0}, "seeds=0"),
        ("lesion", {"jobs": 0}, "jobs=0"),
        ("lesion", {"model": "alexnet"}, "the network alexnet"),
        ("lesion", {"model": None, "depths": (8,)}, "depths=… for the study lesion"),
        ("lesion", {"recipe": "slow"}, "no recipe is called 'slow'"),
        ("lesion", {"seed": 3}, "Use seeds=3"),
        ("lesion", {"runs": ("somewhere",)}, "finished runs with model"),
        ("degradation", {"depths": (9, 20)}, "depth 9"),
        ("degradation", {"depths": (20,)}, "two depths or more"),
        ("degradation", {"runs": ("somewhere",), "model": None}, "runs=… for the study degradation"),
        ("shortcuts", {"depths": (8, 20)}, "one depth"),
        ("activations", {"depths": (9,)}, "cifar_resnet8 and cifar_resnet14"),
    ],
)
def test_what_cannot_be_done_is_refused_before_a_folder_is_made(
    tmp_path: Path, name: str, changes: dict[str, Any], said: str
) -> None:
    asked = {**ASKED, **changes}
    if name != "lesion":
        asked.pop("model")
    with pytest.raises(InputError, match=re.escape(said)):
        study(name, "digits", tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()
