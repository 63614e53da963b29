"""`residua explain`: one call of `explain_stream`, printed as it comes."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from residua._base.errors import InputError
from residua._base.public import public_address
from residua.cli.show import Switch, answered, note, percent, print_json, say

if TYPE_CHECKING:
    from residua.inference.explain import Explanation

_NEIGHBOURS = 4  # beside each answer, as in the report


def explain(
    run: str,
    /,
    *paths: Path,
    out: Path | None = None,
    method: Literal["gradcam", "gradcam++", "integrated-gradients", "occlusion", "smoothgrad"] = "gradcam",
    target: str | None = None,
    layer: str | None = None,
    top: int = 3,
    batch_size: int = 16,
    device: str | None = None,
    no_neighbours: Switch = False,
    json: Switch = False,
) -> int:
    """Show where in an image a trained run finds the evidence for a class.

    One file gets a picture: the image as the network saw it beside the map laid over it. More files, or a folder, get
    contact sheets of 32: FILE.png, FILE-2.png, …. Images in folders named as classes show when the answer is wrong.
    Files that cannot be read are named on stderr, the others go on, and the exit code is 1.

    Parameters
    ----------
    run
        The folder of a trained run, or one on the Hub: hf://ORG/REPO. The weights of one epoch, which train --keep
        every leaves: RUN/checkpoints/epoch-0003.safetensors.
    paths
        Image files and folders.
    out
        The PNG to write; required.
    method
        gradcam and gradcam++ (one pass; coarse; need feature maps), integrated-gradients (50 passes; pixels; with its
        convergence delta), smoothgrad (25 passes; pixels), occlusion (225 passes; what covering a part changes).
    target
        The class to explain, by name; left out: each image's predicted class, or each of its labels where it may have
        several.
    layer
        The end point that gradcam and gradcam++ weight, such as layer3; left out: the last convolutional layer.
    top
        Classes per image, most probable first.
    batch_size
        Images explained at a time.
    device
        "cpu", "cuda" or "cuda:N"; left out: the GPU where there is one.
    no_neighbours
        Leave out the training images most like each file. The first call passes 2,000 of them through the network, or
        all where there are fewer; later ones read them from the cache. Without the training data they are left out.
    json
        Print one JSON document: method, answers, the files written, bad files.
    """
    from residua._base.console import progress_bar
    from residua.inference.explain import explain_stream
    from residua.inference.image_files import BadFile

    shown = public_address(str(run))
    if not paths:
        raise InputError(
            "no image", "image files or folders", f"For example: residua explain {shown} photo.jpg --out a.png"
        )
    if out is None:
        raise InputError(
            "no --out", "the PNG to write", f"For example: residua explain {shown} photo.jpg --out map.png"
        )
    answers: list[dict[str, Any]] = []
    bad: list[dict[str, str]] = []
    stream = explain_stream(
        run,
        paths,
        method=method,
        target=target,
        layer=layer,
        out=out,
        top=top,
        batch_size=batch_size,
        device=device,
        neighbours=0 if no_neighbours else _NEIGHBOURS,
        without=note,
    )
    # Without --json the printed answers show the progress.
    with progress_bar("Explaining", "images") if json else nullcontext(lambda done, total: None) as progress:
        for item in stream:
            if isinstance(item, BadFile):
                bad.append(vars(item))
                note(f"residua: {item.path}: {item.reason}")
            else:
                answers.append(_document(item))
                if not json:
                    say(_line(item), flush=True)
            progress(len(answers) + len(bad), 0)
    files = list(dict.fromkeys(answer["file"] for answer in answers))
    if json:
        print_json({"run": run, "method": method, "files": files, "answers": answers, "bad": bad})
    for file in files:
        note(f"Wrote {file}")
    return answered(len(answers), len(bad))


def _document(item: Explanation) -> dict[str, Any]:
    """Return the answer as JSON values: without its map and without pictures."""
    values = {each.name: getattr(item, each.name) for each in fields(item) if each.name != "map"}
    names = ("path", "label", "cosine")
    return values | {"neighbours": [{name: getattr(near, name) for name in names} for near in item.neighbours]}


def _line(item: Explanation) -> str:
    named = zip(item.labels, item.probabilities, strict=True)
    words = [item.path, *(f"{label} {percent(share)}" for label, share in named)]
    share = getattr(item, "probability", None)  # of one of several labels
    shown = item.target if share is None else f"{item.target} {percent(share)}"
    words.append(f"[{shown}: {item.method}{f' of {item.layer}' if item.layer else ''}]")
    if item.delta is not None:
        words.append(f"delta {item.delta:+.2g}")
    if not item.evidence:
        words.append("no evidence found")
    if item.neighbours:
        near = (f"{each.label} {each.cosine:.3f} ({each.path})" for each in item.neighbours)
        words.append(f"\n  most like the training images {', '.join(near)}")
    return "  ".join(words)
