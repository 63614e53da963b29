"""The choice of the weights that a run begins with: those named, published ones, or those drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from residua._base.errors import InputError
from residua._base.words import worded
from residua.specs.preprocess import size_words
from residua.specs.provenance import Provenance
from residua.specs.schema import Spec
from residua.training.folder.checkpoint import list_checkpoints
from residua.training.folder.run_folder import RunRecord, checkpoints_of, is_finished
from residua.training.initial_weights import Initial, find_initial, full_name
from residua.training.recipe import WeightsPolicy
from residua.weights.identity import Target, counterpart
from residua.weights.named.locate import locate
from residua.weights.named.published_file import fetch_published
from residua.weights.published.catalog import PublishedWeights, default_weights, weights_of

NONE, PUBLISHED = "none", "published"
"""The words for weights drawn from the seed, and for the catalog's."""
_COST = "It then learns from its own images alone, which with few of them costs accuracy and takes many more epochs"


@dataclass(frozen=True)
class Start:
    """The weights that a run begins with.

    Attributes:
        initial: None for those drawn from the seed.
        policy: of the recipe, as it was carried out.
        missing: a sentence that states which weights could not be had, why, and what to do; "" for none.
    """

    initial: Initial | None
    policy: WeightsPolicy = "none"
    missing: str = ""


def choose_start(
    name: str | Path | None, policy: WeightsPolicy, target: Target, folder: Path, origin: RunRecord | None
) -> Start:
    """Find the weights to begin with; they are fetched and read, unless a checkpoint stands in their place.

    Args:
        name: of weights; "published" for the catalog's; "none" for those drawn from the seed; None: by the policy.
        policy: of the recipe.
        target: the network.
        folder: of the run.
        origin: what the folder recorded, of a run that is resumed; None for a new run.

    Raises:
        InputError: weights that are named, or that the recipe cannot do without, cannot be had or do not fit.
    """
    if origin is not None:
        initial = _resumed(name, target, folder, origin)
        return Start(initial, origin.recipes.large.weights, origin.missing_weights)
    default = default_weights(target.spec.name)
    if name is not None and str(name) not in (NONE, PUBLISHED):
        # The name of those that the recipe takes anyway leaves the recipe as it is.
        same = policy == "required" or (default is not None and str(name) == default.name)
        return Start(find_initial(name, target), policy if same else "none")
    if policy == "required" and name == NONE:
        raise InputError(
            "weights='none' with a recipe that goes on from weights",
            "weights to begin with",
            "Leave weights out, name some, or use recipe='fast'",
        )
    if name == NONE or (name is None and policy == "none"):
        return Start(None)
    row, reason = _published(target.spec)
    if row is not None:
        try:
            fetch_published(row, patient=name == PUBLISHED)
            return Start(find_initial(row.name, target), "required" if policy == "required" else "published")
        except InputError as error:
            reason, remedy = error.given, f"Fetch them: residua weights get {row.network}"
    else:
        remedy = "Networks that have some: residua weights"
    if name == PUBLISHED or policy == "required":
        raise InputError(
            f"{target.spec.name} without weights to begin with: {reason}", "published weights, or named ones", remedy
        )
    return Start(None, "none", _missing(target.spec, reason, remedy))


def row_of(initial: Initial, network: str) -> PublishedWeights | None:
    """Return the catalog's row of a run's initial weights, None where they are others."""
    return next((row for row in weights_of(network) if row.name == initial.given), None)


def sentences(loaded: Provenance, initial: Initial, network: str, side: int) -> list[str]:
    """Return what a run states first of the weights that it begins with."""
    row = row_of(initial, network)
    published = [worded(f"Published weights: {row}. weights='none' begins with random ones")] if row else []
    size = size_words(loaded.preprocess.size)
    square = f"The weights are for images of {size} pixels; this run trains on squares of {side}"
    shape = [] if loaded.preprocess.is_square else [square]
    return [f"Begins with {loaded}", *published, *loaded.notes, *shape]


def _published(spec: Spec) -> tuple[PublishedWeights | None, str]:
    """Return the published weights of a network, or None and the reason."""
    row = default_weights(spec.name)
    if row is None:
        return None, f"the catalog has no published weights of {spec.name}"
    if departures := counterpart(spec, row.source, loading=True).sentence:
        return None, f"the published weights are of a {spec.name} without {departures}"
    return row, ""


def _missing(spec: Spec, reason: str, remedy: str) -> str:
    return (
        f"{spec.name} BEGINS WITH RANDOM WEIGHTS, not with published ones: {reason}. {_COST}. With weights='none' that "
        f"is meant. {remedy}"
    )


def _resumed(name: str | Path | None, target: Target, folder: Path, origin: RunRecord) -> Initial | None:
    begun = origin.initial_weights
    if name is not None and not _is_same(str(name), begun, origin):
        # Not to be used: `claim` refuses it by name.
        wanted = str(name) if str(name) in (NONE, PUBLISHED) else full_name(name)
        return Initial(wanted, "", None, ())
    if begun and not list_checkpoints(checkpoints_of(folder)) and not is_finished(folder):
        # Now: a download must not disturb what a run displays. The record of an address lacks its query.
        named = name if name is not None and str(name) != PUBLISHED else begun.given
        locate(named, target.spec)
    return begun


def _is_same(name: str, begun: Initial | None, origin: RunRecord) -> bool:
    if name == NONE:
        return begun is None
    if name == PUBLISHED:
        return begun is not None and row_of(begun, origin.spec.name) is not None
    return begun is not None and full_name(name) == begun.given
