"""Proof: a stranger's checkpoint, converted, is right on as many test images as is known of it.

    .venv/bin/python proofs/converted_accuracy.py CHECKPOINT ARCHIVE

CHECKPOINT is `resnet20` of pytorch_resnet_cifar10 (akamaster); ARCHIVE is a tar whose test/CLASS/*.jpg are CIFAR-10's
10,000 test images as JPEG. Converts the one and evaluates it on the other, then as the shortcuts of He 2015 would have
it (zeros behind the channels, not on both sides), which fits the same tensors. The outcome goes to
docs/proofs/converted_accuracy.json and .md; exit 1 when the count is not the known one.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from residua._base.files import sha256_file
from residua.evaluation.evaluate import evaluate
from residua.families.build import build
from residua.weights.bundle.write import save_bundle
from residua.weights.convert import convert

ROOT = Path(__file__).parents[1]
MODEL, KNOWN = "cifar_resnet20", 8103  # of 10,000: what is recorded of this checkpoint on this archive


def prove(checkpoint: Path, archive: Path, folder: Path) -> dict[str, object]:
    """Convert, evaluate both ways, and return the outcome."""
    with tarfile.open(archive) as opened:
        members = (member for member in opened if member.isfile() and member.name.startswith("test/"))
        opened.extractall(folder, members, filter="data")
    run = convert(checkpoint, model=MODEL, out=folder / "run")
    report = evaluate(run, folder / "test")
    plain = build(run.spec.edit(shortcut="pad"))
    plain.load_state_dict(run.model.state_dict(), strict=True)
    save_bundle(
        folder / "plain",
        tensors=plain.state_dict(),
        spec=plain.spec,
        classes=run.classes,
        preprocess=run.preprocess_spec,
        metrics={},
        data={},
    )
    other = evaluate(folder / "plain", folder / "test")
    right = round(report.top1 * report.count)
    return {
        "proof": "converted accuracy",
        "model": MODEL,
        "images": report.count,
        "right": right,
        "known_right": KNOWN,
        "equal": (report.count, right) == (10_000, KNOWN),
        "right_with_other_shortcuts": round(other.top1 * other.count),
        "converted": run.data["converted"],
        "archive_sha256": sha256_file(archive),
        "versions": {"torch": version("torch"), "python": platform.python_version(), "system": platform.platform()},
    }


def main() -> int:
    """Run the proof and write its outcome."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "proofs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = prove(given.checkpoint, given.archive, Path(folder))
    page = (
        "# A converted checkpoint keeps its accuracy\n\n"
        f"`proofs/converted_accuracy.py {given.checkpoint.name} {given.archive.name}`: {MODEL} with the weights of "
        f"pytorch_resnet_cifar10 is right on {outcome['right']:,} of {outcome['images']:,} test images of CIFAR-10 as "
        f"JPEG; known: {KNOWN:,}. With the same tensors and the other kind of padded shortcut it would be "
        f"{outcome['right_with_other_shortcuts']:,}. Hashes and versions are in `converted_accuracy.json`.\n"
    )
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "converted_accuracy.json").write_text(json.dumps(outcome, indent=1) + "\n")
    (given.out / "converted_accuracy.md").write_text(page)
    print(page)
    return 0 if outcome["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())
