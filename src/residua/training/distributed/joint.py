"""What the processes of a run do together: divide batches, take up one state, stop at one step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from residua._base.errors import InputError
from residua._base.signals import StopRequest
from residua._base.words import counted
from residua.data.loader import Loader
from residua.data.shards.part import Part
from residua.runtime.distributed.group import Group
from residua.training.plan import Plan
from residua.training.recipe import Recipe


class JointPass:
    """A loader whose passes end in every process with `Stopped` once one of them is asked to stop."""

    def __init__(self, loader: Loader, stop: StopRequest, group: Group) -> None:
        self._loader, self._stop, self._group = loader, stop, group

    def epoch(self, epoch: int) -> Iterator[Any]:
        """Yield the loader's batches until the signal comes."""
        for batch in self._loader.epoch(epoch):
            if self._stop.signal:
                self._group.gathered(None)
            yield batch


def divide(plan: Plan, group: Group) -> None:
    """Give each process its part of every training batch, and its batches of the images that validate.

    Raises:
        InputError: what cannot be divided; data that differs between the processes.
    """
    if group.count == 1:
        return
    recipe, processes = plan.recipe, f"{group.count} processes"
    if recipe.probe_views:
        raise InputError(
            f"probe_views={recipe.probe_views} with {processes}",
            "one process: the classifier is fitted to all features at once",
            "Start it without torchrun",
        )
    if recipe.device not in ("auto", "cpu", "cuda"):
        raise InputError(
            f"device={recipe.device!r} with {processes}", "a GPU for each process", "Use device='cuda' or leave it out"
        )
    if plan.train.streams and recipe.on_bad == "skip":
        raise InputError(
            f"on_bad='skip' with {processes} and images in an order by shards",
            "batches of which every process knows the size",
            "Use on_bad='refuse', or find the images first: residua check",
        )
    whole = plan.train.batch_images
    if whole < 2 * group.count:
        raise InputError(
            f"{counted(whole, 'image')} per batch with {processes}",
            "two images or more for each process: one value a channel has no variance",
            f"Use batch_size={2 * group.count} or fewer processes",
        )
    for rank, (name, content, left_out) in enumerate(
        group.gathered((plan.dataset.given, plan.dataset.hash, plan.left_out))
    ):
        if content != plan.dataset.hash or left_out != plan.left_out:
            raise InputError(
                f"{name} of process {rank}, which is not what process {group.rank} has",
                "the same images on every host, to the byte",
                "Copy the data again, or give a folder that all hosts share",
            )
    for loader in (plan.train, plan.val, plan.sample):
        if loader is not None:
            loader.part = Part(group.rank, group.count)


def refuse_shards(recipe: Recipe, group: Group) -> None:
    """Refuse what cannot work on parameters that are divided between the processes.

    Raises:
        InputError: names the field.
    """
    if group.count == 1 or not recipe.shard:
        return
    if recipe.optimizer == "muon":
        raise InputError(
            f"optimizer='muon' with shard=True in {group.count} processes",
            "an optimizer that takes each weight by itself: Muon needs whole matrices",
            "Use optimizer='sgd', or shard=False",
        )
    if recipe.compile:
        raise InputError(
            f"compile=True with shard=True in {group.count} processes",
            "torch's own kernels: compiled ones read whole parameters",
            "Use compile=False, or shard=False",
        )


def refuse_trials(trials: tuple[str, ...], group: Group) -> None:
    """Refuse a search of fields that several processes would do each for itself.

    Raises:
        InputError: names the fields.
    """
    if trials and group.count > 1:
        raise InputError(
            f"a search of {' and '.join(trials)} with {group.count} processes",
            "values that are given, the same in every process",
            "Find them first with one process: dry_run=True, find_rate=True, batch_size='auto'",
        )
