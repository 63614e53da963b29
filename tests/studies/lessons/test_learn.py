"""The course: every step in the reduced form, what its numbers must be, and the page."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from residua.cli.app import main
from residua.studies.lessons.course import STEPS, lesson
from residua.studies.lessons.lesson import Finding, Number, Picture, marked
from residua.studies.lessons.page import Step, opening, render_html, render_markdown

Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The steps that need no networks but those of step 2."""
    folder = tmp_path_factory.mktemp("course") / "learn"
    assert main(["learn", "--out", str(folder), "--short", "--step", "1,2,3", "--step", "4,5"]) == 0
    return folder


def _steps(folder: Path) -> dict[int, dict[str, Any]]:
    document = json.loads((folder / "learn.json").read_text(encoding="utf-8"))
    return {step["step"]: step for step in document["steps"]}


def _value(folder: Path, step: int, meaning: str) -> float:
    (found,) = [each["value"] for each in _steps(folder)[step]["numbers"] if meaning in each["meaning"]]
    return float(found)


def test_the_numbers_are_what_mathematics_demands(course: Path) -> None:
    assert _value(course, 1, "ReLU(F(x) + x)") == 0
    assert _value(course, 1, "weights that the shortcuts add") == 0
    assert _value(course, 3, "residual") == 0, "a unit with zeroed weights is the identity"
    assert _value(course, 3, "plain") > 0
    assert _value(course, 4, "largest gap") < 1e-5, "whole = shortcut + branch"
    assert 0 < _value(course, 4, "mean share") < 1.5
    assert _value(course, 5, "before the branch") == pytest.approx(1, abs=1e-6)
    assert 0.3 < _value(course, 5, "after the sum") < 0.99
    assert len(_steps(course)[2]["numbers"]) == 2


def test_a_step_has_picture_number_source_and_command(course: Path) -> None:
    page = (course / "index.html").read_text(encoding="utf-8")
    text = (course / "learn.md").read_text(encoding="utf-8")
    for number, step in _steps(course).items():
        assert step["figures"]
        assert all((course / name).read_text(encoding="utf-8").startswith("<svg") for name in step["figures"])
        assert re.search(r"arXiv \d{4}\.\d{5}, section", step["source"])
        assert step["command"] == f"residua learn --step {number}"
        for each in step["numbers"]:
            assert f"| {each['text']} | {each['meaning']} |" in text
        assert f'id="step-{number}"' in page
    assert page.count("data:image/svg+xml") == sum(len(step["figures"]) for step in _steps(course).values())
    assert "http" not in page.replace("http-equiv", "")
    assert "reduced form" in page
    assert "reduced form" in text


def test_what_is_done_is_not_repeated(course: Path, capsys: Output) -> None:
    before = {path: path.stat().st_mtime_ns for path in (course / "steps").iterdir()}
    assert main(["learn", "--out", str(course), "--short", "--step", "3", "--json"]) == 0
    captured = capsys.readouterr()
    assert "Step 3 is done" in captured.err
    assert [step["step"] for step in json.loads(captured.out)["steps"]] == [1, 2, 3, 4, 5]
    assert {path: path.stat().st_mtime_ns for path in (course / "steps").iterdir()} == before


@pytest.mark.slow
def test_the_other_steps_run_too(course: Path, capsys: Output) -> None:
    assert main(["learn", "--out", str(course), "--short", "--step", "6,7,8", "--json"]) == 0
    steps = {step["step"]: step for step in json.loads(capsys.readouterr().out)["steps"]}
    assert sorted(steps) == list(range(1, 9))
    # 14 layers have 6 units: 2 to the 6th paths.
    assert "6 units, so 64 paths" in steps[6]["sentences"][0]
    assert steps[7]["numbers"][0]["text"] == "64%"
    assert len(steps[8]["numbers"]) == 5


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--step", "9"], "--step 9"), (["--step", "0"], "--step 0"), (["--step", "x"], "residua learn --help")],
)
def test_what_cannot_be_used(tmp_path: Path, capsys: Output, words: list[str], said: str) -> None:
    assert main(["learn", "--out", str(tmp_path / "a"), *words]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, capsys: Output) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["learn", "--out", str(tmp_path), "--short", "--step", "1"]) == 2
    assert "mine.txt" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["index.html", "learn.md", "learn.json", "figures/1-1.svg", "runs/a/report.html"])
def test_files_of_the_pages_names_that_are_anothers_stay(tmp_path: Path, capsys: Output, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("a")
    assert main(["learn", "--step", "1", "--short", "--out", str(tmp_path)]) == 2
    assert f"already holds {name.partition('/')[0]}. Wanted: a folder of its own" in capsys.readouterr().err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
    assert file.read_text() == "a"


def test_a_course_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it had written by then."""
    from residua.studies.lessons import learn

    def killed(*arguments: object) -> float:
        (tmp_path / "runs").mkdir()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(learn, "_do", killed)
        with pytest.raises(KeyboardInterrupt):
            learn.learn(tmp_path, steps=(1,), short=True, progress=False)
    assert json.loads((tmp_path / "learn.json").read_text())["steps"] == []
    assert [step.number for step in learn.learn(tmp_path, steps=(1,), short=True, progress=False).steps] == [1]


def test_a_run_is_no_folder_of_a_course(tmp_path: Path, capsys: Output) -> None:
    """A folder with a lock and files of its own, such as a run, gets nothing."""
    for name in (".lock", "model.safetensors"):
        (tmp_path / name).touch()
    assert main(["learn", "--step", "1", "--out", str(tmp_path)]) == 2
    assert "already holds model.safetensors" in capsys.readouterr().err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".lock", "model.safetensors"]


def test_every_word_is_explained_where_it_first_appears() -> None:
    known: list[str] = []
    for number in range(1, len(STEPS) + 1):
        one = lesson(number)
        text = " ".join(one.idea).lower()
        for word in one.words:
            assert word not in known, f"step {number} explains {word} again"
            assert word.lower() in text or word in str(one.formulas), (
                f"step {number} lists {word} and has no use for it"
            )
            earlier = " ".join(" ".join(lesson(before).idea) for before in range(1, number)).lower()
            earlier = earlier.replace("batch normalisation", "")
            assert not re.search(rf"\b{re.escape(word.lower())}s?\b", earlier), word
            known.append(word)
    assert {"logits", "shortcut", "degradation", "identity", "gradient", "pre-activation", "path", "MACs"} <= set(known)


def test_text_from_outside_is_escaped() -> None:
    assert marked("a *b* <c>") == "a <b>b</b> &lt;c&gt;"
    finding = Finding(("<i>",), (Number("1", "<u>", 1.0),), (Picture("<svg/>", "<b>"),))
    page = render_html((Step(1, lesson(1), finding, 1.0, 1.0),), {}, short=False)
    assert "&lt;i&gt;" in page
    assert "<u>" not in page
    assert opening(short=True)[-1].startswith("This page was made in the reduced form")
    assert "| 1 | <u> |" in render_markdown((Step(1, lesson(1), finding, 1.0, 1.0),), {}, short=False)
