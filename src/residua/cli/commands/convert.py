"""`residua convert`: one call of `residua.convert`, or of `write_for` in the other direction."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from residua._base.errors import InputError
from residua._base.words import counted
from residua.cli.show import Switch, note, print_json, say
from residua.specs.preprocess import describe
from residua.weights.sources.names import SOURCES

_FROM = (
    f"Who wrote the file: {', '.join(sorted(SOURCES)[:-1])} or {sorted(SOURCES)[-1]}; left out: guessed from the "
    "names in the file, and noted."
)


def convert(
    file: Path,
    /,
    *,
    model: str | None = None,
    out: Path,
    source: Annotated[str | None, Parameter(name="--from", help=_FROM)] = None,
    to: str | None = None,
    classes: Path | None = None,
    image_size: int | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    scale: float | None = None,
    interpolation: str | None = None,
    crop: float | None = None,
    mean_image: Path | None = None,
    by_structure: Switch = False,
    label_thresholds: tuple[float, ...] | None = None,
    json: Switch = False,
) -> int:
    """Turn a file of weights into a run folder, or with --to a run's weights into a file for torchvision or timm.

    Tensors are renamed and laid out again by rule; a missing, unexpected or misshapen one is refused, all of them
    named. The run carries the preprocessing that a config.json beside the file states. Else it is the one that the
    source's weights for this network expect, which is reported as assumed. State the parts that you know.

    Parameters
    ----------
    file
        Weights: .pth, .safetensors, .h5, .keras, or a TensorFlow checkpoint's prefix; with --to, a run's folder.
    model
        The network that the weights are for, see `residua models`.
    out
        The run's folder to write; with --to, the file: .safetensors or .pth.
    to
        torchvision or timm.
    classes
        A text file with the class names, one a line, in the order of the outputs; left out: ImageNet's or CIFAR-10's
        where their number fits, else class_0, class_1, and so on.
    image_size
        Side of the network's input, pixels.
    mean
        What is subtracted: one number, or three with commas for R, G and B. The network sees
        (level × scale / 255 - mean) / std, where a level is 0 to 255.
    std
        What is divided by: one number, or three with commas for R, G and B.
    scale
        The value of white in the units of --mean and --std: 1, or 255 for a network that takes levels. With it, a mean
        that is left out is 0, and a std that is left out is 1.
    interpolation
        Filter of the resize: nearest, bilinear, bicubic, box, hamming or lanczos.
    crop
        Share of the resized image's side that the network sees, at most 1, such as 0.875.
    mean_image
        A .npy file with the mean of each pixel, (height, width, 3) in the units of --scale, in place of --mean: as
        numpy.save writes x_train.mean(axis=0).
    by_structure
        Match layers under names that no rule knows by order, shapes and kinds, and print the map; refused where more
        than one match is possible.
    label_thresholds
        For a network whose images may have several labels: the probability from which on an image has each, one number
        or one per label with commas. Left out: one label an image, unless a config.json beside the file states several.
    json
        Print one JSON document.
    """
    if to is not None:
        spare: dict[str, object] = {"--model": model, "--from": source, "--classes": classes}
        spare |= {
            "--image-size": image_size,
            "--mean": mean,
            "--std": std,
            "--scale": scale,
            "--interpolation": interpolation,
            "--crop": crop,
            "--mean-image": mean_image,
            "--label-thresholds": label_thresholds,
        }
        names = [name for name, value in spare.items() if value is not None]
        if names:
            raise InputError(
                f"--to with {' and '.join(names)}",
                "--to with --out alone: the run states the rest",
                "Leave the others out",
            )
        return _give(file, to, out, json)
    if model is None:
        raise _neither(file, out)
    from residua.weights.convert import convert as run_conversion

    run = run_conversion(
        file,
        model=model,
        out=out,
        source=source,
        classes=classes,
        image_size=image_size,
        mean=mean,
        std=std,
        scale=scale,
        interpolation=interpolation,
        crop=crop,
        mean_image=mean_image,
        by_structure=by_structure,
        label_thresholds=label_thresholds,
    )
    origin = run.data["converted"]
    for theirs, ours in origin.get("layers", {}).items():
        note(f"{theirs} -> {ours}")
    for line in origin["notes"]:
        note(line)
    if json:
        document: dict[str, object] = {"run": str(run.folder), "model": run.spec.name, "classes": list(run.classes)}
        if run.multilabel:
            document["label_thresholds"] = list(run.multilabel.thresholds)
        print_json(document | {"preprocess": run.preprocess_spec.to_json()} | origin)
        return 0
    fed = run.preprocess_spec
    whose = "matched by structure" if "layers" in origin else origin["source"] or "under Residua's names"
    what = "label" if run.multilabel else "class"
    count = counted(len(run.classes), what, "labels" if run.multilabel else "classes")
    several = ", several an image" if run.multilabel else ""
    say(f"{run.folder}: {run.spec.name} from {file} ({whose}), {count}{several}")
    say(f"Images: {describe(fed)}")
    note(f"Next: {shlex.join(['residua', 'evaluate', str(run.folder)])} DATA")
    return 0


def _neither(file: Path, out: Path) -> InputError:
    """Return the error of a call that names neither a network nor a library to write for."""
    words = ["residua", "convert", str(file), "--to", "timm", "--out", str(out)]
    return InputError(
        f"{file} without --model, and without --to",
        "--model with the network that a file's weights are for, or --to with the library to write a run's weights for",
        f"Write the run's weights: {shlex.join(words)}"
        if file.is_dir()
        else "See the networks' names with: residua models",
    )


def _give(run: Path, peer: str, out: Path, json: bool) -> int:
    from residua.weights.peers.to_peer import write_for

    written = write_for(run, peer, out)
    if json:
        print_json(asdict(written) | {"preprocess": written.preprocess.to_json()})
        return 0
    say(f"{written.path}: weights of {peer}'s {written.model}")
    say(written.code)
    fed = written.preprocess
    note(f"The file holds tensors alone. Prepare its images so: {describe(fed)}.")
    return 0
