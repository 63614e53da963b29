"""Proof: whatever the description at /openapi.json allows, and much that it does not, the server answers as described.

    python -m venv schema && schema/bin/pip install schemathesis
    .venv/bin/python proofs/serve_schema.py --schemathesis schema/bin/schemathesis [--examples 50]

schemathesis makes requests from the description of a server that this script starts: valid ones and broken ones, of
every operation, and sequences of them; once with names of models as they come, once with that of the model that there
is. No answer may be a 5xx, or have a status, a content type or a form that the description does not state. The outcome
goes to docs/proofs/serve_schema.json; exit 1 where one does.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
OUTCOME = ROOT / "docs" / "proofs" / "serve_schema.json"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
_NAMES = '[parameters]\n"path.model" = "a"\n"path.version" = "1"\n'
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def main() -> int:
    """Start a server and let schemathesis test it."""
    from evaluation.runs import colour_run
    from serving.commands import started

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schemathesis", help="the program; without it nothing is proven")
    parser.add_argument("--examples", type=int, default=50, help="per operation and phase")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if not options.schemathesis:
        print("Skipped: no --schemathesis", file=sys.stderr)
        return 0
    runs = []
    for name, config, extra in (("any names", "", True), ("the model that there is", _NAMES, False)):
        with tempfile.TemporaryDirectory() as folder:
            models = colour_run(Path(folder, "runs", "a")).parent
            Path(folder, "schemathesis.toml").write_text(config)
            # With a repository, one operation would unload the model that the others need.
            words = [str(models / "a"), *(["--repository", str(models)] if extra else [])]
            with Path(folder, "log").open("w") as log, started(*words, stderr=log) as (process, document):
                command = [options.schemathesis, "run", f"{document['url']}/openapi.json", "--checks", ",".join(CHECKS)]
                command += ["--max-examples", str(options.examples), "--seed", str(options.seed), "--no-color"]
                done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
                alive = process.poll() is None
        text = _ESCAPES.sub("", done.stdout)
        (cases,) = re.findall(r"(\d+) generated", text) or ["0"]
        (operations,) = re.findall(r"^ *Tested: (\d+)", text[text.rfind("SUMMARY") :], re.M) or ["0"]
        print(f"{name}: {cases} cases of {operations} operations, exit code {done.returncode}")
        if done.returncode:
            print(text)
        runs.append(
            {
                "names": name,
                "operations": int(operations),
                "cases": int(cases),
                "exit_code": done.returncode,
                "server_alive": alive,
            }
        )
    version = subprocess.run([options.schemathesis, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    outcome = {"schemathesis": version.strip().rpartition(" ")[2], "checks": CHECKS, "examples": options.examples}
    OUTCOME.write_text(json.dumps({**outcome, "runs": runs}, indent=2) + "\n", encoding="utf-8")
    return 0 if all(each["exit_code"] == 0 and each["server_alive"] and each["cases"] for each in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
