"""The Slurm script and the Kubernetes job: they parse, have what they need, and start a command that exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from residua.cli.app import build_app

EXAMPLES = Path(__file__).parents[3] / "examples"
SLURM = EXAMPLES / "slurm" / "train.sbatch"
JOB = EXAMPLES / "kubernetes" / "train-job.yaml"


def _train_flags(text: str) -> set[str]:
    """Return the options behind `residua train` in a script, and those that a variable adds."""
    command = text.partition("-m residua train")[2].partition("\n\n")[0]
    return set(re.findall(r"(?<![\w-])--([a-z-]+)", command.split("||")[0])) | {"resume"}


def _bash(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml")
    return list(yaml.safe_load_all(JOB.read_text()))


def test_the_slurm_script_parses_and_states_its_job() -> None:
    text = SLURM.read_text()
    _bash(text)
    stated = dict(re.findall(r"^#SBATCH --([a-z-]+)(?:=(\S+))?$", text, re.MULTILINE))
    assert stated["nodes"] == "2"
    assert stated["ntasks-per-node"] == "1", "one torchrun per host starts the processes"
    assert {"gpus-per-node", "requeue", "signal"} <= stated.keys()


def test_the_job_is_indexed_and_starts_again(documents: list[dict[str, Any]]) -> None:
    service, job = documents
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert (service["kind"], job["kind"], job["apiVersion"]) == ("Service", "Job", "batch/v1")
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == 2
    assert pod["restartPolicy"] == "Never", "backoffLimitPerIndex takes no other"
    assert spec["successPolicy"] == {"rules": [{"succeededIndexes": "0"}]}
    assert {"name": "TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "value": "1"} in pod["containers"][0]["env"]
    assert pod["terminationGracePeriodSeconds"] > 30, "torchrun kills after 30 seconds"


def test_the_pods_find_the_first_one_by_the_headless_service(documents: list[dict[str, Any]]) -> None:
    service, job = documents
    name, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
    pod = job["spec"]["template"]["spec"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert pod["subdomain"] == name
    script = pod["containers"][0]["command"][-1]
    assert f"{job['metadata']['name']}-0.{name}:{port}" in script
    _bash(script)


@pytest.mark.parametrize("path", [SLURM, JOB], ids=lambda path: path.name)
def test_the_command_has_these_options(path: Path) -> None:
    known = {
        name.lstrip("-")
        for argument in build_app()["train"].assemble_argument_collection()
        for name in argument.parameter.name or ()
    }
    flags = _train_flags(path.read_text())
    assert {"model", "out", "sync-norm"} <= flags
    assert flags <= known


@pytest.mark.parametrize("path", [SLURM, JOB], ids=lambda path: path.name)
def test_torchrun_has_these_options(path: Path) -> None:
    from torch.distributed.run import get_args_parser

    known = {word for action in get_args_parser()._actions for word in action.option_strings}
    text = "\n".join(line for line in path.read_text().splitlines() if not line.lstrip().startswith("#"))
    command = text.partition(" torchrun ")[2].partition("-m residua")[0]
    flags = set(re.findall(r"--[a-z-]+", command))
    assert {"--nnodes", "--nproc-per-node", "--max-restarts", "--rdzv-endpoint"} <= flags
    assert flags <= known
