"""No command runs code from the folder that the user stands in, in whatever process it works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import residua
from evaluation.runs import colour_folder
from residua.runtime.environment import environment

MODULES = (
    *("json", "os", "re", "numpy", "torch", "h5py", "PIL", "tempfile", "threading", "logging", "dataclasses"),
    *("residua", "sitecustomize", "usercustomize", "studies", "safetensors", "jinja2", "typing"),
)
PROGRAMS = ("git", "c++", "g++", "clang++", "cc", "gcc", "as", "ld", "python", "python3")


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """A folder of images that also holds modules and programs, each of which leaves a mark when it runs."""
    folder = colour_folder(tmp_path / "photos", count=8)
    for name in MODULES:
        (folder / f"{name}.py").write_text(
            f"open({str(tmp_path / f'ran-{name}.py')!r}, 'w').close()\nraise SystemExit(99)\n"
        )
    for name in PROGRAMS:
        (folder / name).write_text(f"#!/bin/sh\n: > '{tmp_path}/ran-{name}'\nexit 99\n")
        (folder / name).chmod(0o755)
    (folder / "omp.h").write_text("#error a header of the working directory\n")
    return folder


def _call(words: Sequence[str], folder: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run the command as its installed script does: Python's path begins with the folder of that script."""
    script = tmp_path / "bin/residua"
    script.parent.mkdir(exist_ok=True)
    script.write_text("from residua.cli.app import run\nrun()\n")
    ours = {"PATH": f":.:{os.environ['PATH']}", "CPATH": ":"}
    command = [sys.executable, str(script), *words]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **ours}, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert not sorted(path.name for path in tmp_path.glob("ran-*"))
    return done


def _photos(trapped: Path) -> None:
    """Move the classes into a folder inside the trap, which is given by a relative path."""
    (trapped / "classes").mkdir()
    for name in ("red", "green", "blue"):
        (trapped / name).rename(trapped / "classes" / name)


def test_the_workers_of_a_study(trapped: Path, tmp_path: Path) -> None:
    _photos(trapped)
    words = ["study", "lesion", "classes", "--quick", "--model", "cifar_resnet8", "--epochs", "1", "--device", "cpu"]
    _call([*words, "--out", "out"], trapped, tmp_path)
    assert (trapped / "out/study.html").is_file()
    assert sorted(path.name for path in (trapped / "out/runs").iterdir()) == [
        "cifar_resnet8-plain-seed0",
        "cifar_resnet8-seed0",
    ]


def test_a_command_that_asks_version_control(trapped: Path, tmp_path: Path) -> None:
    words = ["bench", "cifar_resnet8", "--batch", "1", "--batches", "1", "--warm-up", "0", "--device", "cpu", "--json"]
    (result,) = json.loads(_call(words, trapped, tmp_path).stdout)["results"]
    assert result["model"] == "cifar_resnet8"


def test_compiler_and_version_control(trapped: Path, tmp_path: Path) -> None:
    (tmp_path / "parallel.cpp").write_text("#include <omp.h>\nint main() { return 0; }\n")
    script = "import os; from residua.runtime.native import keeping, library\n"
    script += "from residua.runtime.environment import environment\n"
    script += "os.environ |= {'PATH': f':.:{os.environ[\"PATH\"]}', 'CPATH': ':', 'RESIDUA_CACHE': '../cache'}\n"
    script += "compiler = library._given_compiler() or next(filter(None, map(library.program, library._COMPILERS)))\n"
    script += f"library._run([compiler, '-fopenmp', '-fsyntax-only', {str(tmp_path / 'parallel.cpp')!r}])\n"
    script += "print(compiler, keeping.cache_folder(), environment().get('commit', ''))"
    compiler, cache, *commit = _isolated(script, trapped).stdout.split()
    assert Path(compiler).is_absolute()
    assert cache == str(trapped / "../cache/native")
    assert commit == ([] if not (Path(residua.__file__).parents[2] / ".git").exists() else [environment()["commit"]])
    assert not sorted(path.name for path in tmp_path.glob("ran-*"))


def test_the_reader_of_keras_files(trapped: Path, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(trapped / "other.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = [[1.0]]
    script = "from residua.weights.files.keras_file import read_layers; print(sorted(read_layers('other.weights.h5')))"
    done = _isolated(script, trapped)
    assert done.stdout == "['layers/dense/kernel']\n"
    assert not sorted(path.name for path in tmp_path.glob("ran-*"))


def test_entries_of_the_import_path_that_mean_the_working_directory(trapped: Path, tmp_path: Path) -> None:
    # `PYTHONPATH=$PYTHONPATH:/more` leaves empty entries, which mean the working directory.
    script = "import os, subprocess; from residua._base.subprocesses import python_module\n"
    script += f"os.environ['PYTHONPATH'] = os.pathsep.join(['', '.', {str(tmp_path / 'absolute')!r}, ''])\n"
    script += "command, environment = python_module('residua')\n"
    script += "code = 'import sys, json; print(json.dumps(sys.path))'\n"
    script += "print(subprocess.run([*command[:-2], '-c', code], env=environment, stdout=-1, text=True).stdout)"
    done = _isolated(script, trapped)
    assert str(tmp_path / "absolute") in done.stdout
    assert str(trapped) not in done.stdout
    assert not sorted(path.name for path in tmp_path.glob("ran-*"))


def test_the_package_as_a_command(trapped: Path, tmp_path: Path) -> None:
    for name in ("residua", "sitecustomize", "usercustomize", "typing"):  # Python imports them before any code of ours
        (trapped / f"{name}.py").unlink()
    command = [sys.executable, "-m", "residua", "models", "resnet50"]
    done = subprocess.run(command, cwd=trapped, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not sorted(path.name for path in tmp_path.glob("ran-*"))


def _isolated(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-P", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done
