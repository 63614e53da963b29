"""What the fields of a residual network must keep together; `residua.specs.resnet_spec` calls it."""

from __future__ import annotations

from typing import Any

from residua._base.words import quoted, some
from residua.specs.resnet_units import check_units


def check_together(spec: Any) -> None:
    """Refuse fields of a residual network that are legal one by one and not together.

    Raises:
        InputError: as `Spec.refuse`.
    """
    _check_widths(spec)
    _check_unit(spec)
    check_units(spec)
    _check_stem(spec)
    _check_shortcut(spec)
    _check_stride(spec)
    if spec.end_points == "slim" and (spec.unit != "bottleneck" or spec.activation not in ("post", "full_pre")):
        spec.refuse(
            f"end_points='slim' with unit={spec.unit!r} and activation={spec.activation!r}",
            "a network that TF-slim names: bottlenecks, activation 'post' or 'full_pre'",
            "Use end_points='torchvision'",
        )


def _check_widths(spec: Any) -> None:
    if len(spec.depths) != len(spec.widths):
        spec.refuse(
            f"depths={spec.depths} and widths={spec.widths}",
            "one width for each stage",
            "Give both lists the same length",
        )
    for index, inner in enumerate(spec.inner_widths):
        if inner % spec.cardinality:
            spec.refuse(
                f"inner_widths[{index}]={inner}",
                f"multiples of cardinality={spec.cardinality}",
                f"The nearest is {max(1, round(inner / spec.cardinality)) * spec.cardinality}",
            )
    if spec.inner_widths and len(spec.inner_widths) != len(spec.depths):
        spec.refuse(
            f"inner_widths={spec.inner_widths} for depths={spec.depths}",
            "one inner width for each stage, or none",
            "Give both lists the same length",
        )


def _check_unit(spec: Any) -> None:
    if spec.unit == "basic":
        # A basic unit has one width and whole convolutions.
        only = {"cardinality": 1, "base_width": 64, "inner_widths": (), "reduce_first": 1}
        if odd := [f"{key}={getattr(spec, key)}" for key, own in only.items() if getattr(spec, key) != own]:
            spec.refuse(
                f"{', '.join(odd)} with basic units",
                "a bottleneck, which alone has an inner width and a grouped 3×3",
                "Use unit='bottleneck', or widen with widths=",
            )
        return
    inner = [spec.inner_width(stage) for stage in range(len(spec.depths))]
    inner += sorted({width for stage in spec.units for _, width, _ in stage} - {*inner})
    if uneven := [width for width in inner if width % spec.cardinality]:
        spec.refuse(f"an inner width of {uneven[0]}", f"multiples of cardinality={spec.cardinality}", "Customary is 1")
    if min(inner) < 1:
        spec.refuse(
            f"base_width={spec.base_width} with widths={spec.widths}",
            "at least one inner channel for each group",
            "Use wider stages, or base_width=64",
        )
    if any(width % spec.reduce_first for width in inner):
        spec.refuse(f"reduce_first={spec.reduce_first}", f"a divisor of the inner widths {inner}", "Customary is 1")


def _check_stem(spec: Any) -> None:
    if spec.stem == "deep" and spec.stem_width % 2:
        spec.refuse(f"stem_width={spec.stem_width} with stem='deep'", "an even number", "Customary is 128")
    if spec.stem == "plain" and spec.activation in ("relu_only_pre", "full_pre"):
        spec.refuse(
            f"stem='plain' with activation={spec.activation!r}",
            "an order that activates in the stem; a pre-activated stem has no BN anyway",
            "Use stem='imagenet' with stem_norm=False",
        )
    if spec.stem == "none" and spec.stem_norm:
        spec.refuse("stem_norm=True with stem='none'", "a stem to stand in", "Use stem_norm=False")
    if spec.stem == "none" and spec.end_points == "keras":
        spec.refuse("end_points='keras' with stem='none'", "a stem, which Keras always has", "Use 'torchvision'")


def _check_shortcut(spec: Any) -> None:
    outputs = [depth for stage in spec.units for depth, _, _ in stage]
    channels = (spec.entry_width, *(outputs or [width * spec.expansion for width in spec.widths]))
    if spec.shortcut in ("pad", "pad_both") and list(channels) != sorted(channels):
        spec.refuse(
            f"shortcut={spec.shortcut!r} with {' → '.join(map(str, channels))} channels",
            "channels that never shrink: zeros can only be added",
            "Use shortcut='projection', or widen with widths=",
        )
    if spec.projection_kernel not in (1, 3):
        spec.refuse(f"projection_kernel={spec.projection_kernel}", "1 or 3", "Customary is 1")
    if not spec.final_norm and spec.activation != "full_pre":
        spec.refuse(
            f"final_norm=False with activation={spec.activation!r}",
            "activation='full_pre', which alone has a norm behind the last unit",
            "Leave final_norm out",
        )
    if spec.shortcut == "none" and spec.gate != "none":
        spec.refuse(f"gate={spec.gate!r} with shortcut='none'", "a shortcut to gate", "Use gate='none'")
    if spec.shortcut == "none" and spec.stochastic_depth:
        spec.refuse(
            f"stochastic_depth={spec.stochastic_depth} with shortcut='none'",
            "a shortcut, which carries the signal where a branch is dropped",
            "Use stochastic_depth=0",
        )
    reason = _NO_ZERO_INIT.get(spec.activation)
    if spec.shortcut == "none":
        reason = "without a shortcut nothing would reach the classifier, and no gradient would come back"
    if spec.zero_init_last_bn and reason:
        spec.refuse(
            f"zero_init_last_bn with activation={spec.activation!r} and shortcut={spec.shortcut!r}",
            f"a unit that can start as its shortcut; here {reason}",
            "Use zero_init_last_bn=False",
        )


def _check_stride(spec: Any) -> None:
    if spec.sharing != "none" and spec.stride_site == "last_3x3":
        spec.refuse(
            f"sharing={spec.sharing!r} with stride_site='last_3x3'",
            "units of one stride: the last of a stage would differ from those it shares with",
            "Use stride_site='first_3x3' or 'first_1x1'",
        )
    if not spec.output_stride:
        return
    legal = spec.reached_strides
    if spec.output_stride not in legal:
        spec.refuse(
            f"output_stride={quoted(spec.output_stride)}",
            f"0, for its own, or one of {some(map(str, legal))}",
            f"The nearest is {min(legal, key=lambda stride: abs(stride - spec.output_stride))}",
        )
    in_1x1 = spec.unit == "bottleneck" and spec.stride_site == "first_1x1"
    if spec.padding == "same" and spec.output_stride != spec.own_stride and not in_1x1:
        spec.refuse(
            f"output_stride={spec.output_stride} with padding='same' and strided 3×3 convolutions",
            f"0 or {spec.own_stride}: SAME pads those on one side at even sizes, which no dilation repeats",
            "Use padding='symmetric'",
        )


_NO_ZERO_INIT = {
    "bn_after_add": "the last BN stands on the shortcut's way too, and every gradient before the classifier would be 0",
    "relu_before_add": "the last BN is followed by a ReLU, which at 0 passes no gradient to the branch",
    "full_pre": "the branch ends in a convolution, and has no last BN",
}
