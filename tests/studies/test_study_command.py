"""`residua study`, in-process: the list, a run that exists, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.runs import colour_folder, colour_run
from residua.cli.app import main
from residua.studies.catalog import NAMES

Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize("words", [["study"], ["study", "--list"]])
def test_the_studies_are_listed_with_their_questions(capsys: Output, words: list[str]) -> None:
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(NAMES)
    assert all(line.endswith("?") for line in lines[2:])
    assert main([*words, "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == list(NAMES)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lesoin", "digits"], "Did you mean lesion?"),
        (["lesion"], "residua study lesion digits"),
        (["degradation", "NOWHERE"], "neither a folder nor a known data set"),
        (["degradation", "digits", "--depths", "20,x"], "Given: --depths x. Wanted: a whole number."),
        (["degradation", "digits", "--depths", "21,32"], "depth 21"),
        (["degradation", "digits", "--run", "RUN"], "--run for the study degradation"),
        (["lesion", "digits", "--run", "NOWHERE"], "holds no model.safetensors"),
        (["lesion", "digits", "--run", "RUN"], "the classes of digits are not those"),
        (["lesion", "COLOURS", "--run", "RUN", "--run", "RUN"], "different names"),
        (["lesion", "COLOURS", "--run", "RUN", "--epochs", "3"], "finished runs with epochs"),
        (["lesion", "digits", "--epochs", "-1"], "--epochs -1"),
        (["degradation", "digits", "--jobs", "0"], "--jobs 0"),
        (["degradation", "digits", "--groups", "plane"], "groups of this study: plain, residual, highway"),
        (["lesion", "digits", "--run", "RUN", "--groups", "plain"], "finished runs with groups"),
        (["degradation", "digits", "--seeds", "many"], "residua study --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_used(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    colours = colour_folder(tmp_path / "colours", count=5)
    run = colour_run(tmp_path / "run", data=colours)
    places = {"RUN": str(run), "COLOURS": str(colours), "NOWHERE": str(tmp_path / "nowhere")}
    assert main(["study", *(places.get(word, word) for word in words)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "studies").exists()


def test_a_lesion_of_a_run_that_exists(tmp_path: Path, capsys: Output) -> None:
    # Its branches are silent: whatever is deleted or swapped, nothing changes.
    colours = colour_folder(tmp_path / "colours", wrong=[("red", "green")] * 3, count=20)
    run = colour_run(tmp_path / "run", data=colours)
    assert (
        main(["study", "lesion", str(colours), "--quick", "--run", str(run), "--out", str(tmp_path / "out"), "--json"])
        == 0
    )
    document = json.loads(capsys.readouterr().out)
    measured = document["results"][0]["measured"]
    assert measured["kind"] == "residual"
    assert {one["error"] for one in measured["single"]} == {measured["error"]}
    assert document["verdict"]["answer"] == "undecided"  # one unit of equal shapes is no spread
    assert document["results"][0]["test_error"] == pytest.approx(measured["error"])
    assert (tmp_path / "out/study.html").exists()
    assert "nothing was trained" in document["shows"]
    # The report of the run shows it.
    words = ["evaluate", str(run), str(colours), "--study", str(tmp_path / "out"), "--report", str(tmp_path / "report")]
    assert main(words) == 0
    assert "study lesion, quick form: " in capsys.readouterr().out
    page = (tmp_path / "report/report.html").read_text()
    assert "It measured this same network, on the data of this run." in page
    assert "One unit deleted. Stars mark units that change the shape." in page
    # Again: its own folder is its own.
    assert main(["study", "lesion", str(colours), "--quick", "--run", str(run), "--out", str(tmp_path / "out")]) == 0
    (tmp_path / "out/other").touch()
    assert main(["study", "lesion", str(colours), "--run", str(run), "--out", str(tmp_path / "out")]) == 2


def test_responses_of_runs_that_exist(tmp_path: Path, capsys: Output) -> None:
    colours = colour_folder(tmp_path / "colours", count=5)
    run = colour_run(tmp_path / "run", data=colours)
    words = ["study", "responses", str(colours), "--quick", "--run", str(run), "--out", str(tmp_path / "out"), "--json"]
    assert main(words) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert (result["group"], result["x"]) == ("residual", 8)
    assert set(result["measured"]["std"]) == {0.0}, "its branches are silent"


@pytest.mark.parametrize(
    ("markup", "said"),
    [
        (None, "without study.html"),
        ('<figure><svg onload="x()"></svg></figure>', "onload"),
        ('<figure><svg><rect fill="url(http://example.org/x)"/></svg></figure>', "rect fill"),
        ("<script>x()</script>", "<script"),
        ("<p>", "study.html is not well-formed"),
    ],
)
def test_what_is_no_finished_study_is_refused(tmp_path: Path, capsys: Output, markup: str | None, said: str) -> None:
    document = {
        **dict.fromkeys(("study", "form", "question", "source", "shows", "length", "command"), ""),
        "verdict": {"answer": "yes", "sentence": "", "details": []},
        "data": {"given": "", "hash": ""},
        "failed": {},
        "seeds": 1,
        "results": [],
        "versions": {},
    }
    (tmp_path / "study.json").write_text(json.dumps(document))
    if markup is not None:
        page = f'<section id="charts"><h2>Charts</h2>{markup}</section>'
        (tmp_path / "study.html").write_text(page)
    # Refused before the run is opened: there is none.
    assert main(["evaluate", str(tmp_path / "nowhere"), "--study", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
