"""The names of devices; torch is not needed to check one."""

from __future__ import annotations

import re

from residua._base.errors import InputError


def check_device_name(name: str) -> None:
    """Refuse what names no device, on whatever machine.

    Raises:
        InputError: neither "auto", "cpu", "cuda" nor "cuda:N".
    """
    if not re.fullmatch(r"auto|(cpu|cuda)(:[0-9]{1,9})?", name):
        raise InputError(
            f"device={name!r}",
            "'auto', 'cpu', 'cuda' or 'cuda:N'",
            "Use device='cpu', or leave it out for the GPU where there is one",
        )
