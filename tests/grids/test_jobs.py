"""Jobs travel to their workers as text; a record that is damaged or of something else counts as none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from residua.grids.jobs import Job, read_record
from residua.grids.processes import run_jobs
from residua.specs.catalog import get_spec
from residua.training.recipe_file import load_recipe, override
from studies.grids import TINY

KEY = "0" * 64


def described(run: Any, job: Job, *, word: str) -> dict[str, Any]:
    """What the worker of these tests measures."""
    return {"word": word, "name": job.name, "top1": run.metrics["top1"]}


def _job(folder: Path, name: str = "a", **fields: Any) -> Job:
    recipe = override(load_recipe("fast"), **{**TINY, "epochs": 1})
    given = {"data": "digits", "folder": folder / "runs" / name, "record": folder / f"{name}.json", "key": KEY}
    return Job(name, get_spec("cifar_resnet8", num_classes=10), recipe, **{**given, **fields})


def test_a_job_arrives_as_it_was_sent(tmp_path: Path) -> None:
    job = _job(tmp_path, measure="grids.test_jobs:described", arguments={"word": "ähm"}, data_dir=tmp_path, work=3.5)
    line = job.to_json()
    assert "\n" not in line
    assert Job.from_json(line) == job


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that a worker has done."""
    folder = tmp_path_factory.mktemp("grid")
    measured = {"measure": "residua.studies.measuring:measure", "arguments": {"study": "degradation", "quick": True}}
    job = _job(folder, **measured)
    lines: list[str] = []
    assert run_jobs([job], at_once=1, logs=folder / "logs", stopped=lambda: False, say=lines.append) == {}
    assert "a took" in lines[-1]
    return job


def test_a_record_belongs_to_its_job_and_its_weights(done: Job, tmp_path: Path) -> None:
    record = read_record(done)
    assert record is not None
    assert (record.key, record.measured) == (KEY, {})
    assert record.environment["torch"]
    assert read_record(_job(done.folder.parents[1], key="1" * 64)) is None
    shutil.copytree(done.folder.parents[1], tmp_path / "grid")
    (tmp_path / "grid/runs/a/model.safetensors").unlink()
    assert read_record(_job(tmp_path / "grid")) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda known: b"",
        lambda known: b"\x00\xff" * 50,
        lambda known: b"[" * 100_000,
        lambda known: b"null",
        lambda known: b'["key"]',
        lambda known: json.dumps(known | {"minutes": "long"}).encode(),
        lambda known: json.dumps(known | {"minutes": None}).encode(),
        lambda known: json.dumps(known | {"measured": []}).encode(),
        lambda known: json.dumps(known | {"environment": {"torch": 2}}).encode(),
        lambda known: json.dumps(known | {"key": None}).encode(),
        lambda known: json.dumps(known | {"minutes": known["minutes"] + 1}).encode(),
        lambda known: json.dumps(known | {"measured": {"errpr": 0.5}}).encode(),
        lambda known: json.dumps({key: value for key, value in known.items() if key != "measured"}).encode(),
    ],
)
def test_a_damaged_record_counts_as_none(done: Job, damage: Callable[[dict[str, Any]], bytes]) -> None:
    whole, record = done.record.read_bytes(), read_record(done)
    assert record is not None
    try:
        done.record.write_bytes(damage(json.loads(whole)))
        lines: list[str] = []
        assert read_record(done, lines.append) is None
        assert [line.partition(":")[0] for line in lines] == ["a is measured again"]
    finally:
        done.record.write_bytes(whole)
    assert read_record(done) == record


def test_a_failure_is_named_with_its_log(tmp_path: Path) -> None:
    jobs = [_job(tmp_path, name, data=str(tmp_path / "nowhere")) for name in ("b", "c")]
    failed = run_jobs(jobs, at_once=2, logs=tmp_path / "logs", stopped=lambda: False, say=lambda line: None)
    assert set(failed) == {"b", "c"}
    assert all("exit code 2" in reason and f"{name}.txt" in reason for name, reason in failed.items())
    assert not any(job.record.exists() for job in jobs)
