"""Which sizes networks take, and what is said of the others."""

from __future__ import annotations

import pytest

from residua._base.errors import InputError
from residua.sizes import check_input, nearest_size, takes
from residua.specs.catalog import get_spec


def test_a_size_that_is_taken_passes() -> None:
    check_input(get_spec("resnet18"), 32)
    check_input(get_spec("cifar_resnet20"), 1)
    assert nearest_size(get_spec("cifar_resnet20"), 32) == 32


@pytest.mark.parametrize("size", [0, -3])
def test_no_size_at_all(size: int) -> None:
    with pytest.raises(InputError, match="at least 1 pixel"):
        check_input(get_spec("resnet18"), size)


def test_the_nearest_size_is_the_smallest_that_works() -> None:
    spec = get_spec("resnet50_v2", pool_padding="same", stem_norm=True)
    near = nearest_size(spec, 1)
    assert takes(spec, near)
    assert near == 1 or not takes(spec, near - 1)
