"""What all tests share: where the reference facts and the real images stand, when they do."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the decoded images of a test out of the user's cache."""
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference facts and data beside the project; the test is skipped where there is none."""
    if not SHARED.is_dir():
        pytest.skip(f"no reference folder at {SHARED}")
    return SHARED
