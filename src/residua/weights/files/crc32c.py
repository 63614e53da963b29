"""CRC-32C (Castagnoli), over many lanes at once: hundreds of megabytes in seconds.

The register is linear in the data. So the data is cut into lanes of equal length, and each lane's register is run
alone. Two neighbours are joined by running the left one's over as many zeros as the right one has bytes.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

_Words = NDArray[np.uint32]
_POLYNOMIAL = 0x82F63B78  # reflected
_ONES = 0xFFFFFFFF
_LANE = 512  # bytes
_AT_ONCE = 4096  # lanes whose registers stay in the processor's cache
_MASK_DELTA = 0xA282EAD8  # LevelDB's kMaskDelta (util/crc32c.h)


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """Return the CRC-32C of `data`; of b"123456789" it is 0xE3069283."""
    view = memoryview(data).cast("B")
    lanes = len(view) // _LANE
    state = _ONES
    if lanes:
        words = np.frombuffer(view[: lanes * _LANE], "<u4").reshape(lanes, _LANE // 4)
        state = _join(_run(words))
    tail = view[lanes * _LANE :]
    table = _tables()[0].tolist()
    for byte in tail:
        state = table[(state ^ byte) & 255] ^ (state >> 8)
    return state ^ _ONES


def masked(crc: int) -> int:
    """Return the form in which LevelDB and TensorFlow store a CRC, so that a CRC of CRCs is none of them."""
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _ONES


def _run(words: _Words) -> _Words:
    """Return each lane's register after its own bytes; the first starts as all ones, as a CRC does."""
    zero, one, two, three = _tables()
    states = np.zeros(len(words), np.uint32)
    states[0] = _ONES
    for start in range(0, len(words), _AT_ONCE):
        lanes = slice(start, start + _AT_ONCE)
        state = states[lanes]
        for column in np.ascontiguousarray(words[lanes].T):
            x = state ^ column
            state = three[x & 255] ^ two[(x >> 8) & 255] ^ one[(x >> 16) & 255] ^ zero[x >> 24]
        states[lanes] = state
    return states


def _join(states: _Words) -> int:
    """Return the register after all lanes, one behind the other."""
    # A register that starts as zero stays so over zeros: lanes of zeros in front change nothing.
    missing = (1 << (len(states) - 1).bit_length()) - len(states)
    states = np.concatenate([np.zeros(missing, np.uint32), states])
    level = 0
    while len(states) > 1:
        low, second, third, high = _over_zeros(level)
        left = states[::2]
        shifted = low[left & 255] ^ second[(left >> 8) & 255] ^ third[(left >> 16) & 255] ^ high[left >> 24]
        states = shifted ^ states[1::2]
        level += 1
    return int(states[0])


@functools.cache
def _tables() -> tuple[_Words, ...]:
    """Return, for k = 0..3, what a byte leaves in the register, k bytes after it was read."""
    first = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        first = np.where(first & 1, (first >> 1) ^ np.uint32(_POLYNOMIAL), first >> 1).astype(np.uint32)
    tables = [first]
    for _ in range(3):
        tables.append(first[tables[-1] & 255] ^ (tables[-1] >> 8))
    return tuple(tables)


@functools.cache
def _over_zeros(level: int) -> tuple[_Words, ...]:
    """Return the register over `_LANE` · 2^level zero bytes, as a table for each of its four bytes."""
    if level:
        half = _over_zeros(level - 1)

        def advance(x: _Words) -> _Words:
            moved: _Words = half[0][x & 255] ^ half[1][(x >> 8) & 255] ^ half[2][(x >> 16) & 255] ^ half[3][x >> 24]
            return moved

        steps = 2
    else:
        table = _tables()[0]

        def advance(x: _Words) -> _Words:
            moved: _Words = table[x & 255] ^ (x >> 8)
            return moved

        steps = _LANE
    tables = []
    for byte in range(4):
        x = np.arange(256, dtype=np.uint32) << np.uint32(8 * byte)
        for _ in range(steps):
            x = advance(x)
        tables.append(x)
    return tuple(tables)
