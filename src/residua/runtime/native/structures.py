"""The structures that cross to the C++ kernels, field by field as chain.h declares them."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_double, c_int64, c_void_p


class Shape(Structure):
    _fields_ = [(name, c_int64) for name in ("height", "width", "inputs", "outputs", "kernel", "stride", "pad")]


class Weight(Structure):
    _fields_ = [("data", c_void_p), ("strides", c_int64 * 4)]


class Layer(Structure):
    _fields_ = [
        ("shape", Shape),
        ("weight", Weight),
        ("weight_gradient", Weight),
        ("gamma", c_void_p),
        ("beta", c_void_p),
        ("running_mean", c_void_p),
        ("running_var", c_void_p),
        ("momentum", c_double),
        ("epsilon", c_double),
        ("output", c_void_p),
        ("mean", c_void_p),
        ("deviation", c_void_p),
        ("gamma_gradient", c_void_p),
        ("beta_gradient", c_void_p),
        ("gradient", c_void_p),
    ]


class Chain(Structure):
    _fields_ = [
        ("images", c_int64),
        ("layers", c_int64),
        ("threads", c_int64),
        ("bf16", c_int64),
        ("layer", POINTER(Layer)),
        ("input", c_void_p),
        ("shortcut_kind", c_int64),
        ("stride", c_int64),
        ("before", c_int64),
        ("shortcut", c_void_p),
        ("result", c_void_p),
        ("result_gradient", c_void_p),
        ("input_gradient", c_void_p),
        ("shortcut_gradient", c_void_p),
    ]


def differing_sizes(library: ctypes.CDLL) -> str:
    """Return which structures the library lays out differently, "" for none: their fields would be misread."""
    kinds = (Shape, Weight, Layer, Chain)
    theirs = [c_int64() for _ in kinds]
    library.residua_sizes(*(ctypes.byref(size) for size in theirs))
    return ", ".join(
        f"{kind.__name__} of {size.value} bytes, not {ctypes.sizeof(kind)}"
        for kind, size in zip(kinds, theirs, strict=True)
        if size.value != ctypes.sizeof(kind)
    )
