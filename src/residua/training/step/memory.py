"""Advice where memory runs out: what takes it, and the fields that take less."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from residua._base.errors import InputError
from residua.training.recipe import Recipe

_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


def advice_while_opening(recipe: Recipe) -> contextlib.AbstractContextManager[None]:
    """Turn running out of memory while data is opened into an InputError."""
    return advice(
        f" while the data was opened: {recipe.image_size} pixels",
        "room for the decoded images, and for one at full size in each decoding thread",
        "Use workers=1 or a smaller image_size=64; images that do not fit a GPU fit device='cpu'",
    )


def advice_while_training(recipe: Recipe) -> contextlib.AbstractContextManager[None]:
    """Turn running out of memory while a network trains into an InputError."""
    return advice(
        f": batch_size={recipe.batch_size}, {recipe.image_size} pixels",
        "a batch whose activations fit",
        f"Use batch_size={max(1, recipe.batch_size // 2)} and accumulate_steps={recipe.accumulate_steps * 2} for "
        "the same images per step, in a different folder: out=FOLDER",
    )


@contextlib.contextmanager
def advice(circumstances: str, wanted: str, remedy: str) -> Iterator[None]:
    """Turn running out of memory inside into an InputError with these words."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        device = _exhausted(error)
        if not device:
            raise
        raise InputError(f"out of memory on {device}{circumstances}", wanted, remedy) from error


def is_exhausted(error: BaseException) -> bool:
    """Return whether an error is that memory ran out, of a GPU or of the machine."""
    return bool(_exhausted(error))


def _exhausted(error: BaseException) -> str:
    """Return whose memory ran out, "" where that is not the error. torch.OutOfMemoryError is a RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError):
        return "the GPU"
    known = isinstance(error, MemoryError) or any(words in str(error) for words in _WORDS)
    return "the CPU" if known else ""
