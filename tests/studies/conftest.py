"""One small finished study for all tests that only look at one."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.grids import TINY


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished quick lesion study of cifar_resnet8 on digits."""
    from residua.studies.run_study import study

    folder = tmp_path_factory.mktemp("studies") / "lesion"
    study("lesion", "digits", folder, quick=True, model="cifar_resnet8", jobs=2, progress=False, **TINY)
    return folder
