"""Where a network's weights come from, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from residua.specs.preprocess import PreprocessSpec


@dataclass(frozen=True)
class Provenance:
    """What is known of the weights that a network began with.

    Attributes:
        given: what was asked for: "torchvision:IMAGENET1K_V2", "hf://org/repo", an address, a path.
        sha256: of the file that held them.
        preprocess: the evaluation transform that they were trained for, stated or assumed.
        source: whose names the file has: "torchvision", "timm", …; "" for our own.
        classes: the names of the outputs that they were trained for; () where they are not known.
        fresh: tensors of the network that were drawn at random: the file has a different number of classes.
        adapted: tensors that were fitted to another number of channels of the image.
        form: fields of the network that nobody asked for, which are as the weights have them: (field, value).
        notes: what was taken of the file, what was left out and what was assumed, a sentence each.
    """

    given: str
    sha256: str
    preprocess: PreprocessSpec
    source: str = ""
    classes: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    adapted: tuple[str, ...] = ()
    form: tuple[tuple[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"weights {self.given} (SHA-256 {self.sha256[:12]}…)"
        if self.form:
            form = ", ".join(f"{name}={value!r}" for name, value in self.form)
            text += f", which decide what the network's name leaves open: {form}"
        if self.adapted:
            text += f", {', '.join(self.adapted)} fitted to the image's channels"
        return text + (f", {', '.join(self.fresh)} newly drawn" if self.fresh else "")
