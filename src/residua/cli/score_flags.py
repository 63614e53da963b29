"""The flags that commands share: where and how a network computes, and which images are scored."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from cyclopts import Parameter

from residua.cli.label_flags import ColumnWords, Labels
from residua.cli.show import Switch
from residua.runtime.engines.names import EngineChoice, EngineName, Precision
from residua.specs.fields import BadPolicy

if TYPE_CHECKING:
    from residua._base.console import Progress
    from residua.evaluation.scores.options import PartKeywords, ScoreKeywords


@dataclass(frozen=True, kw_only=True)
class ComputeFlags:
    """Where and how a network computes.

    Parameters
    ----------
    device
        "cpu", "cuda" or "cuda:N"; left out: the GPU where there is one.
    engine
        What computes the logits: eager (torch's own operators), compiled (torch.compile; the first batch takes
        longer, and a C++ compiler is needed); on the CPU native (our fused kernels, for networks of small images),
        onnxruntime or openvino (with the extra of that name).
        auto measures once which is fastest here, and keeps the choice.
    precision
        The number format that it computes in: fp32, bf16 (faster where the hardware has it), or int8 (openvino,
        onnxruntime; of a run that was exported in int8 on this machine).
    """

    device: str | None = None
    engine: EngineChoice = "eager"
    precision: Precision = "fp32"


@dataclass(frozen=True, kw_only=True)
class PredictFlags(ComputeFlags):
    """Where and how a network computes, on this machine or on many.

    Parameters
    ----------
    engine
        What computes the logits: eager (torch's own operators), compiled (torch.compile; the first batch takes
        longer, and a C++ compiler is needed); on the CPU native (our fused kernels, for networks of small images),
        onnxruntime or openvino (with the extra of that name).
        auto measures once which is fastest here, and keeps the choice. ray (with --out; extra ray) spreads the
        images over the machines of a Ray cluster.
    actors
        With --engine ray, how many processes open the run; 0: one per machine.
    actor_engine
        With --engine ray, what computes in each of them.
    """

    engine: Literal[EngineChoice, "ray"] = "eager"  # type: ignore[assignment]
    actors: int = 0
    actor_engine: EngineName = "eager"

    def local(self) -> dict[str, Any]:
        """Return the keywords of what computes on this machine alone."""
        return {"device": self.device, "engine": self.engine, "precision": self.precision}


@dataclass(frozen=True, kw_only=True)
class PartFlags:
    """Which images are scored, from which views, and whether earlier scores count.

    Parameters
    ----------
    split
        The part of the data; left out: test, else val.
    views
        The views of each image: 1 (centre crop), flip (and its mirror image), flip_if_unsure (the mirror
        image where no class has 0.9), 10crop (corners and centre, and mirrored), multiscale (the whole image at five
        sizes, and mirrored), or several; softmax is averaged.
    no_cache
        Read every image file and run the network even where an earlier pass is cached; store nothing.
    batch_size
        Images per forward pass; the result does not depend on it.
    """

    split: Literal["train", "val", "test"] | None = None
    views: tuple[str, ...] = ("1",)
    no_cache: Switch = False
    batch_size: int = 256


# The order of the bases is that of the help, from the last to the first.
@dataclass(frozen=True, kw_only=True)
class ScoreFlags(ComputeFlags, PartFlags):
    """The options of `residua.evaluation.scores.options.ScoreOptions`, but for the data.

    Parameters
    ----------
    on_bad
        refuse images that do not decode, or skip them (left out and counted); left out: as in training.
    data_dir
        Where downloaded archives are kept; left out: $RESIDUA_DATA, else ~/.cache/residua/data.
    """

    on_bad: BadPolicy | None = None
    data_dir: Path | None = None
    labels: Labels = None
    columns: ColumnWords = ()

    def keywords(self, progress: Progress) -> ScoreKeywords:
        """Return the same as keywords of `evaluate` and `compare`."""
        return cast("ScoreKeywords", self._options(progress))

    def part_keywords(self, progress: Progress) -> PartKeywords:
        """Return the same as keywords of `calibrate`, which settles the part and its views itself."""
        options = self._options(progress)
        return cast("PartKeywords", {name: options[name] for name in options if name not in ("split", "views")})

    def _options(self, progress: Progress) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values |= {"views": ",".join(self.views), "columns": self.columns or None}
        return values | {"cache": not values.pop("no_cache"), "progress": progress}


# Named "*", a group is flattened: its flags stand among the command's own.
Computing = Annotated[ComputeFlags, Parameter(name="*", help="Where and how a network computes.")]
Predicting = Annotated[PredictFlags, Parameter(name="*", help="Where and how the network computes.")]
Scoring = Annotated[ScoreFlags, Parameter(name="*", help="Which images are scored, and how.")]
COMPUTING, PREDICTING, SCORING = ComputeFlags(), PredictFlags(), ScoreFlags()
