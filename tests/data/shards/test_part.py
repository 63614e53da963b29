"""Parts of a batch: together the batch, each with its mirrored pairs."""

from __future__ import annotations

import numpy as np
import pytest

from residua.data.shards.part import Part, Slices


@pytest.mark.parametrize("size", [4, 9, 64, 65])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_parts_of_a_batch_make_it_whole_and_keep_mirrored_pairs(size: int, count: int) -> None:
    batch = np.arange(100, 100 + size)
    parts = [Part(rank, count).slice(batch) for rank in range(count)]
    assert sorted(np.concatenate(parts)) == list(batch)
    assert max(map(len, parts)) - min(map(len, parts)) <= 3
    for part in parts:
        # Mixup mixes an image with the one at the mirrored place: the same in the part as in the batch.
        assert np.array_equal(part[::-1] - 100, size - 1 - (part - 100))
    if count == 1:
        assert np.array_equal(parts[0], batch)


def test_slices_are_made_as_they_are_asked_for() -> None:
    batches = [np.arange(6), np.arange(6, 12)]
    slices = Slices(batches, Part(1, 2))
    assert len(slices) == 2
    assert slices[1].tolist() == [7, 8, 9, 10]
    assert [each.tolist() for each in slices[:1]] == [[1, 2, 3, 4]]
