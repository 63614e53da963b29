"""Precision and device: chosen from what the processor says."""

from __future__ import annotations

import pytest
import torch

from residua._base.errors import InputError
from residua.runtime import device as hardware
from residua.runtime.device import choose_hardware


@pytest.mark.parametrize(
    ("flags", "vendor", "bf16"),
    [
        ({"avx512f", "avx512_bf16", "amx_bf16"}, "GenuineIntel", True),
        ({"avx512f", "avx512_bf16"}, "GenuineIntel", False),
        ({"avx512f", "avx512_bf16"}, "AuthenticAMD", True),
        ({"avx2"}, "AuthenticAMD", False),
        (set(), "", False),
    ],
)
def test_bf16_where_it_is_faster(flags: set[str], vendor: str, bf16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_processor", lambda: (frozenset(flags), vendor))
    assert choose_hardware(device="cpu").bf16 is bf16
    assert choose_hardware(device="cpu", precision="bf16").bf16
    assert not choose_hardware(device="cpu", precision="fp32").bf16


def test_the_choice_is_one_line() -> None:
    sentence = choose_hardware(device="cpu", precision="fp32", channels_last="no").sentence
    assert "\n" not in sentence
    assert sentence.startswith(f"CPU, {torch.get_num_threads()} thread")
    assert "fp32 (as the recipe says)" in sentence
    assert "channels first" in sentence


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match=r"cuda:99.*--device cpu"):
        choose_hardware(device="cuda:99")
