"""Which sizes networks take, and what is said of the others."""

from __future__ import annotations

import pytest

from residua._base.errors import InputError
from residua.families.sizes import check_input, nearest_size, takes
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


@pytest.mark.parametrize(("name", "smallest"), [("alexnet", 63), ("vgg11_bn", 32), ("nin", 39), ("cifar_highway19", 1)])
@pytest.mark.parametrize("edited", [True, False])
def test_too_small_an_image_is_refused_with_the_smallest(name: str, smallest: int, edited: bool) -> None:
    """Training edits the spec's input size to the images': that must not hide the answer."""
    spec = get_spec(name, **({"input_size": 31} if edited else {}))
    assert nearest_size(spec, 1) == smallest
    check_input(spec, smallest)
    if smallest > 1:
        with pytest.raises(InputError, match=f"{smallest} pixels or more.*image_size={smallest} ") as caught:
            check_input(spec, smallest - 1)
        assert f"published for {get_spec(name).input_size}" in str(caught.value)


@pytest.mark.parametrize("size", [1, 14, 27, 29, 32, 64, 2000])
def test_a_structural_size_is_named_exactly(size: int) -> None:
    spec = get_spec("highway_mlp10")
    with pytest.raises(InputError, match=f"exactly 28 pixels.*input_size={size}"):
        check_input(spec, size)
    check_input(spec.edit(input_size=size), size)
    assert nearest_size(spec, 1) == 28


def test_a_network_that_takes_nothing_is_no_question_of_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("residua.families.sizes._obstacle", lambda spec, height, width: "broken")
    with pytest.raises(RuntimeError, match="broken"):
        check_input(get_spec("resnet18"), 32)
