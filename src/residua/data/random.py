"""Randomness as pure functions of (seed, epoch, index): no state to save, none to restore.

A 64-bit finaliser (Stafford's variant 13, as in SplitMix64: Steele, Lea and Flood 2014) is applied to a
counter. Only integer arithmetic modulo 2^64 is used, so every platform, device and batch size sees the same
numbers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# The increment of SplitMix64, and the factors of its finaliser.
_GAMMA = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_WORD = (1 << 64) - 1
# Purposes: draws for one never meet those for another.
_ORDER, _UNIFORM, _STEP, _CLASS, _CORRUPTION, _WINDOW = 1, 2, 3, 4, 5, 6


def order(seed: int, epoch: int, n: int) -> npt.NDArray[np.int64]:
    """Return the order in which epoch `epoch` visits `n` samples: int64 (n,), a permutation of 0..n-1."""
    keys = _mix(np.arange(n, dtype=np.uint64) * np.uint64(_GAMMA) + np.uint64(_key(seed, epoch, _ORDER)))
    return np.argsort(keys, kind="stable")


def window_order(seed: int, epoch: int, window: int, n: int) -> npt.NDArray[np.int64]:
    """Return the order within window `window` of an epoch: int64 (n,), a permutation of 0..n-1."""
    key = _key(_key(seed, epoch, _WINDOW), window, _ORDER)
    return np.argsort(_mix(np.arange(n, dtype=np.uint64) * np.uint64(_GAMMA) + np.uint64(key)), kind="stable")


def uniforms(seed: int, epoch: int, indices: npt.ArrayLike, count: int) -> npt.NDArray[np.float32]:
    """Return float32 (len(indices), count) in [0, 1): row i depends on (seed, epoch, indices[i]) alone."""
    rows = _mix(np.asarray(indices).astype(np.uint64) * np.uint64(_GAMMA) + np.uint64(_key(seed, epoch, _UNIFORM)))
    columns = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GAMMA)
    words = _mix(rows[:, None] + columns[None, :])
    # 24 bits are what a float32 in [0, 1) holds exactly.
    return (words >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def corruption_uniforms(
    seed: int, corruption: int, indices: npt.ArrayLike, start: int, count: int
) -> npt.NDArray[np.float64]:
    """Return float64 (len(indices), count), above 0 and below 1: columns `start` on of an endless table.

    Row i depends on (seed, corruption, indices[i]) alone.
    """
    rows = _mix(
        np.asarray(indices).astype(np.uint64) * np.uint64(_GAMMA) + np.uint64(_key(seed, corruption, _CORRUPTION))
    )
    columns = np.arange(start + 1, start + count + 1, dtype=np.uint64) * np.uint64(_GAMMA)
    words = _mix(rows[:, None] + columns[None, :])
    # The middle of one of 2^52 steps: never 0, whose normal quantile is infinite.
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Return the seed, in [0, 2^63), of torch's generators for one optimizer step in process `rank` of several."""
    key = _key(seed, step, _STEP)
    return (_key(key, rank, _STEP) if rank else key) >> 1


def class_seed(seed: int, label: int) -> int:
    """Return the seed, in [0, 2^63), of what is drawn within one class."""
    return _key(seed, label, _CLASS) >> 1


def _key(seed: int, epoch: int, purpose: int) -> int:
    key = 0
    for word in (purpose, seed, epoch):
        key = _mix_word((key + (word & _WORD) + _GAMMA) & _WORD)
    return key


def _mix_word(word: int) -> int:
    word = ((word ^ (word >> 30)) * _FIRST) & _WORD
    word = ((word ^ (word >> 27)) * _SECOND) & _WORD
    return word ^ (word >> 31)


def _mix(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(_FIRST)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(_SECOND)
    return words ^ (words >> np.uint64(31))
