"""Convert: a file of somebody else's weights becomes a run folder with all that a run needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy.typing as npt

from residua._base.errors import InputError
from residua._base.files import check_local
from residua._base.run_files import CONFIG_FILE, MODEL_FILE
from residua._base.words import counted, some
from residua.families.build import spec_of
from residua.families.sizes import check_input, spec_for
from residua.specs.multilabel import LabelThresholds
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.bundle.value import Bundle
from residua.weights.bundle.write import write_bundle
from residua.weights.class_names import class_names
from residua.weights.files.hub_config import read_config
from residua.weights.named.locate import sha256_weights
from residua.weights.open import load
from residua.weights.preprocess.settle import Statements, settle_preprocess
from residua.weights.preprocess.stated import StatedPreprocess
from residua.weights.rgb import for_rgb
from residua.weights.run import Run
from residua.weights.sources.by_structure import also_fits, match_by_structure, matches
from residua.weights.sources.read_source import ConvertedWeights, read_weights, trained_on


def convert(
    file: Path | str,
    *,
    model: str | Spec,
    out: Path | str,
    source: str | None = None,
    classes: Path | str | Sequence[str] | None = None,
    image_size: int | None = None,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    scale: float | None = None,
    interpolation: str | None = None,
    crop: float | None = None,
    mean_image: Path | str | npt.ArrayLike | None = None,
    preprocess: PreprocessSpec | None = None,
    by_structure: bool = False,
    label_thresholds: Sequence[float] | float | None = None,
) -> Run:
    """Convert a file of weights into a run folder, ready for evaluate, predict and further training.

    Args:
        file: the weights: `.pth`, `.safetensors`, `.h5`, `.keras`, or a TensorFlow checkpoint's prefix.
        model: the network that they are for: a name of the catalog or a spec. Classes and channels follow the file.
        out: the run folder to write; it must not exist, or be empty.
        source: who wrote the file, one of `SOURCES`; None: guessed from the names of the tensors, and noted.
        classes: names in the order of the outputs: a list, or a text file with one a line. None: those of the data
            set that the source's weights were trained on where their number fits, else class_0, class_1, …
        image_size: side of the network's input, pixels; None: as below.
        mean: what is subtracted from the image's channels: one number, or three for R, G and B; None: as below.
        std: what they are divided by: one number, or three for R, G and B; None: as below.
        scale: the value of white in the units of `mean` and `std`: 1, or 255 for a network that takes levels. With
            it, a mean that is not given is 0 and a std that is not given is 1. The network sees
            (level · scale / 255 - mean) / std.
        interpolation: filter of the resize: nearest, bilinear, bicubic, box, hamming or lanczos; None: as below.
        crop: share of the resized image's side that the network sees, at most 1; None: as below.
        mean_image: the mean of each pixel in the units of `scale`, in place of `mean`; None: as below. An array
            (H, W, 3), or a `.npy` file of one, as `numpy.save` writes `x_train.mean(axis=0)`.
        preprocess: the whole evaluation transform, in place of the seven above. None: by the rule of
            `residua.weights.preprocess.settle`; what it assumes is noted.
        by_structure: match layers under names that no rule knows by order, shapes and kinds
            (`residua.weights.sources.by_structure`); `data["converted"]["layers"]` is the map, theirs -> ours.
        label_thresholds: for a network whose images may have several labels: the probability from which on an image
            has each, one number or one per label. None: one label an image, unless a config.json beside the file states
            several (`"problem_type": "multi_label_classification"`); then 0.5, which is noted.

    Returns:
        The run, which takes RGB images: a network for grey ones is turned into it, see `for_rgb`. Its `data` states
        where it comes from: source, name and SHA-256 of the file (see `sha256_weights`), and notes.

    Raises:
        InputError: an unreadable or unsafe file; tensors that are missing, unexpected or misshapen (all are named);
            class names or thresholds that do not fit; a side that the network does not take; weights for 2, 4 or more
            channels; a preprocessing that Residua cannot follow; an `out` that is in use. Nothing is written then.
    """
    check_local("file", file)
    check_local("out", out)
    path, folder = Path(file), Path(out)
    stated = StatedPreprocess(image_size, mean, std, scale, interpolation, crop, mean_image)
    if preprocess is not None and not stated.is_empty:
        raise InputError(
            "preprocess beside parts of it",
            "preprocess, or image_size, mean, std, scale, interpolation, crop and mean_image",
            "Leave the parts out, or put them into the PreprocessSpec",
        )
    _refuse_used(folder)
    spec = spec_of(model)
    if image_size is not None:
        check_input(spec, image_size)
    weights, layers = _read(path, spec, source, _count(classes), by_structure)
    spec, tensors, grey = for_rgb(str(path), weights.spec, weights.tensors)
    names, named = class_names(classes, spec.num_classes, trained_on(spec, weights.source))
    multilabel, halves = _multilabel(path, label_thresholds, spec.num_classes)
    assumed = ""
    if preprocess is None:
        settled = settle_preprocess(spec, weights.source, path, Statements.beside(path), stated, grey=bool(grey))
        preprocess, assumed = settled.spec, settled.assumption
    spec = spec_for(spec, preprocess)
    origin: dict[str, object] = {
        "source": weights.source,
        "file": path.name,
        "sha256": sha256_weights(path),
        "notes": [*weights.notes, *filter(None, (grey, assumed, named, halves))],
    }
    if layers:
        origin["layers"] = layers
    write_bundle(
        folder, Bundle(folder, spec, names, preprocess, data={"converted": origin}, multilabel=multilabel), tensors
    )
    return load(folder)


def _multilabel(
    path: Path, thresholds: Sequence[float] | float | None, labels: int
) -> tuple[LabelThresholds | None, str | None]:
    """Return the thresholds where an image may have several labels, and a note where nobody gave them."""
    if thresholds is None:
        config = Statements.beside(path).config
        if config is None or not read_config(config).multilabel:
            return None, None
        return LabelThresholds.even(labels), f"{config.name} states several labels an image; each is given from 50% on."
    values = tuple(thresholds) if isinstance(thresholds, Sequence) else (thresholds,)
    if len(values) not in (1, labels):
        raise InputError(
            f"label_thresholds with {counted(len(values), 'number')} for {counted(labels, 'output')}",
            f"one number for all, or {labels}, in the order of the classes",
            "Use label_thresholds=0.5",
        )
    try:
        return LabelThresholds(values * labels if len(values) == 1 else values), None
    except InputError as error:
        raise InputError(
            error.given.replace("thresholds", "label_thresholds"), error.wanted, "Use label_thresholds=0.5"
        ) from error


def _read(
    path: Path, spec: Spec, source: str | None, outputs: int | None, by_structure: bool
) -> tuple[ConvertedWeights, dict[str, str]]:
    """Return the weights, and the map of layers where they were matched by structure."""
    if by_structure:
        if source is not None:
            raise InputError(
                f"by_structure=True with source={source!r}",
                "one of them: a source has names of its own",
                "Leave by_structure=True out",
            )
        match = match_by_structure(path, spec)
        note = f"Matched by structure: {counted(len(match.modules), 'layer')}; check the map."
        notes = [note]
        if others := also_fits(path, spec):
            notes.append(f"The file also fits {some(others)}; weights cannot tell them apart.")
        return ConvertedWeights(match.spec, match.tensors, "", tuple(notes)), match.modules
    try:
        return read_weights(path, spec, source, keep_background=outputs), {}
    except InputError as error:
        if source is None and path.is_file() and matches(path, spec):
            remedy = "Its layers match by order, shapes and kinds: use by_structure=True, and check the map"
            raise InputError(error.given, error.wanted, remedy) from error
        raise


def _count(classes: Path | str | Sequence[str] | None) -> int | None:
    return None if classes is None else len(class_names(classes, None, "imagenet")[0])


def _refuse_used(folder: Path) -> None:
    if folder.is_file():
        raise InputError(f"{folder} is a file", "a folder to write the run to", "Give a different out=…")
    held = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if held:
        what = "a run already" if {MODEL_FILE, CONFIG_FILE} & set(held) else "other things"
        raise InputError(
            f"{folder} holds {what}: {some(held, 5)}",
            "a folder that does not exist, or is empty",
            "Give a different out=…",
        )
