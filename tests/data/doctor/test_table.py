"""`check` of a table: rows that are at fault are findings, and the images are examined like any others."""

from __future__ import annotations

from pathlib import Path

from data.pictures import picture
from residua.data.doctor.check import check


def test_rows_at_fault_are_findings(tmp_path: Path) -> None:
    for number in range(6):
        picture(number).save(tmp_path / f"{number}.jpg")
    (tmp_path / "copy.jpg").write_bytes((tmp_path / "0.jpg").read_bytes())
    lines = ["path,label,group", "0.jpg,cat,a", "1.jpg,dog,b", "2.jpg,,c", "3.jpg,cat,d", "3.jpg,dog,d"]
    lines += ["9.jpg,cat,e", "copy.jpg,dog,f"]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    report = check(tmp_path, labels=tmp_path / "t.csv")
    assert not report.ok
    fixes = {finding.kind: finding for finding in report.findings if finding.must_fix}
    assert set(fixes) == {"layout", "label-conflict", "unreadable", "duplicate-across-classes"}
    assert fixes["layout"].files == ("row 4 (2.jpg)",)
    assert "row 5 (cat, d) and row 6 (dog, d)" in fixes["label-conflict"].files[0]
    assert fixes["unreadable"].files[0].startswith("row 7 (9.jpg)")
    assert report.counts == {"train": {"cat": 2, "dog": 3}}
    assert any("3 images of the data stand in no row" in finding.message for finding in report.findings)


def test_a_sound_table_needs_no_fix(tmp_path: Path) -> None:
    for number in range(6):
        picture(number).save(tmp_path / f"{number}.jpg")
    rows = [f"{number},{'ab'[number % 2]},{'test' if number > 3 else 'train'}" for number in range(6)]
    (tmp_path / "t.csv").write_text("\n".join(["id,kind,split", *rows]))
    report = check(tmp_path, labels=tmp_path / "t.csv", columns="label=kind")
    assert report.ok
    assert report.classes == ("a", "b")
    assert report.counts == {"train": {"a": 2, "b": 2}, "test": {"a": 1, "b": 1}}
