"""Scripts beside the package follow it: benchmarks and proofs import, and no name that they take is gone."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for place in ("benchmarks", "proofs") for path in (ROOT / place).glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_script_imports(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("benchmarks", "proofs", "tests"):
        monkeypatch.syspath_prepend(ROOT / place)
    importlib.import_module(path.stem)


def test_make_proofs_reaches_every_proof() -> None:
    makefile = (ROOT / "Makefile").read_text()
    target = makefile[makefile.index("\nproofs:") : makefile.index("\nbench:")]
    assert [path.name for path in sorted((ROOT / "proofs").glob("*.py")) if f"proofs/{path.name}" not in target] == []
