"""The one rule of how images are prepared for a file of weights; converting, loading and training follow it.

1. What the file's publisher states: the catalog of torchvision or timm, or a config.json in timm's layout beside it.
2. A preprocessor_config.json of Hugging Face beside it.
3. What the user gives takes the place of either, part by part.
4. What remains is assumed, and a notice states it. It is what its source's weights for this network expect, else what
   the network itself is trained with here (`default_preprocess`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from residua._base.run_files import CONFIG_FILE
from residua.specs.preprocess import PreprocessSpec, default_preprocess, describe
from residua.specs.schema import Spec
from residua.weights.files.hub_config import read_config
from residua.weights.files.processor_config import PROCESSOR_FILE, read_processor
from residua.weights.preprocess.stated import StatedPreprocess
from residua.weights.rgb import luma_of
from residua.weights.sources.read_source import get_source


@dataclass(frozen=True)
class Statements:
    """What a publisher states of the preprocessing, unread.

    Attributes:
        published: the transform, where a catalog of weights holds it.
        config: the config.json that came with the weights.
        processor: the preprocessor_config.json that came with them.
    """

    published: PreprocessSpec | None = None
    config: Path | None = None
    processor: Path | None = None

    @classmethod
    def beside(cls, file: Path) -> Statements:
        """Return the statements in the folder of a file."""
        config, processor = (file.with_name(name) for name in (CONFIG_FILE, PROCESSOR_FILE))
        return cls(None, config if config.is_file() else None, processor if processor.is_file() else None)

    def read(self) -> PreprocessSpec | None:
        """Return the transform that they state; None where they state none.

        A config.json counts where it names an architecture, as timm's do: others of that name are something else.

        Raises:
            InputError: a file that cannot be read, or a transform that Residua cannot follow.
        """
        if self.published is not None:
            return self.published
        config = read_config(self.config) if self.config else None
        stated = config.preprocess if config and config.architecture else None
        return stated or (read_processor(self.processor) if self.processor else None)


@dataclass(frozen=True)
class SettledPreprocess:
    """The evaluation transform for a file of weights.

    Attributes:
        spec: the transform.
        assumption: a sentence that names what was assumed of it, and whose weights expect it; "" for nothing.
    """

    spec: PreprocessSpec
    assumption: str = ""


def settle_preprocess(
    spec: Spec,
    source: str,
    file: Path,
    statements: Statements,
    given_parts: StatedPreprocess | None = None,
    *,
    grey: bool = False,
) -> SettledPreprocess:
    """Return the transform of a file's network, by the rule of this module.

    Args:
        spec: the network that the weights are of.
        source: whose names they have; "" for our own.
        file: the file of weights, whose name may tell which recipe trained them.
        statements: what the publisher states.
        given_parts: what the user states; None where no user can, as with weights that are given by name.
        grey: whether the network took grey images, and takes RGB by `for_rgb` now; what is given is for grey ones.

    Raises:
        InputError: a statement that Residua cannot follow, or a number that is out of range.
    """
    stated = statements.read()
    expected = get_source(source).preprocess(spec, file.name) if source and stated is None else None
    base = stated or expected or default_preprocess(spec.input_size)
    settled = base if given_parts is None else given_parts.applied(base)
    settled = luma_of(settled) if grey else settled
    if stated is not None:
        return SettledPreprocess(settled)
    whose = f"{source}'s weights for this network expect" if expected else f"Residua trains {spec.name}"
    if given_parts is not None:
        return SettledPreprocess(settled, given_parts.assumption(settled, whose))
    return SettledPreprocess(
        settled,
        f"Preprocessing assumed, as {whose}: {describe(settled)}. Where the file's own is different, convert the file "
        "and state it.",
    )
