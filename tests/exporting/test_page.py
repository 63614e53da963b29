"""The certificate's page: every number of the proof is seen on a phone, and has its name."""

from __future__ import annotations

from pathlib import Path

from chromium import chromium, chromium_path
from evaluation.runs import colour_run
from residua.exporting.export import export
from residua.exporting.names import PAGE
from residua.exporting.page import COLUMNS, cells
from residua.exporting.proof import ProofRow


def test_the_numbers_of_a_row() -> None:
    row = ProofRow("val", (1, 2), 1234, 0.995, 0.00012, 0.91, 0.92, 0.01, (-0.002, 0.022))
    texts = ["1, 2", "1,234", "99.50%", "1.2e-04", "91.00%", "92.00%", "+1.00", "-0.20 to +2.20"]
    assert cells(row) == list(zip(COLUMNS[1:], texts, strict=True))
    assert dict(cells(ProofRow("golden", (7,), 32, 1.0, None)))["error"] == "not finite"
    assert [text for _, text in cells(ProofRow("golden", (7,), 32, 1.0, 0.0))][-4:] == ["–"] * 4


def test_a_phone_shows_every_column(tmp_path: Path) -> None:
    chromium_path()
    written = export(colour_run(tmp_path / "run"), format="torch", out=tmp_path / "out", golden_only=True)
    with chromium(tmp_path / "profile") as tab:
        for width in (390, 1280):
            tab.open((written.folder / PAGE).as_uri(), width)
            assert tab.run("document.documentElement.scrollWidth") <= width
            assert (
                tab.run("document.querySelector('.scroll').scrollWidth - document.querySelector('.scroll').clientWidth")
                == 0
            )
            edges = tab.run(
                "[...document.querySelectorAll('.numbers td')].map((each) => each.getBoundingClientRect().right)"
            )
            assert len(edges) == 4 * (len(COLUMNS) - 1)
            assert max(edges) <= width
            name = tab.run("getComputedStyle(document.querySelector('[data-name=error]'), '::before').content")
            assert name == ('"error"' if width < 600 else "none")
            tab.picture(tmp_path / f"{width}.png")
