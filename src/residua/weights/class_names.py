"""Class names for weights that come without: given, or those of the data set that they were trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from residua._base.errors import InputError
from residua._base.files import check_local
from residua._base.words import counted, some

# Krizhevsky 2009, in the order of its labels.
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def class_names(
    source: Path | str | Sequence[str] | None, count: int | None, data: str
) -> tuple[tuple[str, ...], str | None]:
    """Return the class names in the order of the outputs, and a note where nobody gave them.

    Args:
        source: the names, or a text file with one a line, or None.
        count: how many outputs there are; None: do not compare.
        data: "imagenet" or "cifar10", whose names are taken where nothing is given and their number is `count`.

    Raises:
        InputError: names that are empty, not distinct, or not `count`; a file that cannot be read.
    """
    if source is None:
        known = _CIFAR10 if data == "cifar10" else imagenet() if count == 1000 else ()
        if len(known) == count:
            return known, f"Class names taken from {'CIFAR-10' if data == 'cifar10' else 'ImageNet'}; none were given."
        stated = f"No names are known for {counted(count or 0, 'class', 'classes')}: class_0, …"
        return tuple(f"class_{i}" for i in range(count or 0)), stated
    if isinstance(source, str | Path):
        check_local("file of class names", source)
    what = f"the class names in {source}" if isinstance(source, (str, Path)) else "the class names"
    names = tuple(_lines(Path(source)) if isinstance(source, (str, Path)) else source)
    twice = [name for name, times in Counter(names).items() if times > 1]
    if not all(isinstance(name, str) and name.strip() for name in names) or not names:
        raise InputError(f"{what}: an empty one", "a name for each output", "Give one a line, no blank lines between")
    if twice:
        raise InputError(f"{what}: {some(twice)} more than once", "distinct names", "Give each output its own name")
    if count is not None and len(names) != count:
        raise InputError(
            f"{what}: {len(names)} for {counted(count, 'output')}",
            f"{counted(count, 'name')}, in the order of the outputs",
            "Give the names of the classes that the weights were trained on",
        )
    return names, None


def imagenet() -> tuple[str, ...]:
    """Return ImageNet's 1,000 class names in the order of its labels, as torchvision's weights carry them."""
    from torchvision.models import ResNet18_Weights

    return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read: {error}", "a text file in UTF-8 with one class name a line", "Check the path"
        ) from error
