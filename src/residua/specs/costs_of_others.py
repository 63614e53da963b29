"""What networks cost that are no residual networks of this catalog, and which of ours costs as much."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

# Parameters and multiply-accumulates of an image at the published size, as torchvision 0.26 states them with its first
# weights of each network (`meta["num_params"]`, `meta["_ops"]`).
# fmt: off
COSTS = {
    "convnext_base": (88_591_464, 15_355_000_000),
    "convnext_large": (197_767_336, 34_361_000_000),
    "convnext_small": (50_223_688, 8_684_000_000),
    "convnext_tiny": (28_589_128, 4_456_000_000),
    "efficientnet_b0": (5_288_548, 386_000_000),
    "efficientnet_b1": (7_794_184, 687_000_000),
    "efficientnet_b2": (9_109_994, 1_088_000_000),
    "efficientnet_b3": (12_233_232, 1_827_000_000),
    "efficientnet_b4": (19_341_616, 4_394_000_000),
    "efficientnet_b5": (30_389_784, 10_266_000_000),
    "efficientnet_b6": (43_040_704, 19_068_000_000),
    "efficientnet_b7": (66_347_960, 37_746_000_000),
    "efficientnet_v2_l": (118_515_272, 56_080_000_000),
    "efficientnet_v2_m": (54_139_356, 24_582_000_000),
    "efficientnet_v2_s": (21_458_488, 8_366_000_000),
    "maxvit_t": (30_919_624, 5_558_000_000),
    "mnasnet0_5": (2_218_512, 104_000_000),
    "mnasnet0_75": (3_170_208, 215_000_000),
    "mnasnet1_0": (4_383_312, 314_000_000),
    "mnasnet1_3": (6_282_256, 526_000_000),
    "mobilenet_v2": (3_504_872, 301_000_000),
    "mobilenet_v3_large": (5_483_032, 217_000_000),
    "mobilenet_v3_small": (2_542_856, 57_000_000),
    "regnet_x_16gf": (54_278_536, 15_941_000_000),
    "regnet_x_1_6gf": (9_190_136, 1_603_000_000),
    "regnet_x_32gf": (107_811_560, 31_736_000_000),
    "regnet_x_3_2gf": (15_296_552, 3_177_000_000),
    "regnet_x_400mf": (5_495_976, 414_000_000),
    "regnet_x_800mf": (7_259_656, 800_000_000),
    "regnet_x_8gf": (39_572_648, 7_995_000_000),
    "regnet_y_128gf": (644_812_894, 374_570_000_000),
    "regnet_y_16gf": (83_590_140, 15_912_000_000),
    "regnet_y_1_6gf": (11_202_430, 1_612_000_000),
    "regnet_y_32gf": (145_046_770, 32_280_000_000),
    "regnet_y_3_2gf": (19_436_338, 3_176_000_000),
    "regnet_y_400mf": (4_344_144, 402_000_000),
    "regnet_y_800mf": (6_432_512, 834_000_000),
    "regnet_y_8gf": (39_381_472, 8_473_000_000),
    "shufflenet_v2_x0_5": (1_366_792, 40_000_000),
    "shufflenet_v2_x1_0": (2_278_604, 145_000_000),
    "shufflenet_v2_x1_5": (3_503_624, 296_000_000),
    "shufflenet_v2_x2_0": (7_393_996, 583_000_000),
    "squeezenet1_0": (1_248_424, 819_000_000),
    "squeezenet1_1": (1_235_496, 349_000_000),
    "swin_b": (87_768_224, 15_431_000_000),
    "swin_s": (49_606_258, 8_741_000_000),
    "swin_t": (28_288_354, 4_491_000_000),
    "swin_v2_b": (87_930_848, 20_325_000_000),
    "swin_v2_s": (49_737_442, 11_546_000_000),
    "swin_v2_t": (28_351_570, 5_940_000_000),
    "vit_b_16": (86_567_656, 17_564_000_000),
    "vit_b_32": (88_224_232, 4_409_000_000),
    "vit_h_14": (633_470_440, 1_016_717_000_000),
    "vit_l_16": (304_326_632, 61_555_000_000),
    "vit_l_32": (306_535_400, 15_378_000_000),
}
# fmt: on

_FAMILY = 8  # letters from which on the beginning of a name stands for a family


def cost_of(name: str) -> tuple[int, int] | None:
    """Return (parameters, MACs) of another network, None where they are not known.

    Case, separators, and what timm adds at the ends do not matter: tf_efficientnet_b0_ns, mobilenetv3_large_100.
    """
    squeezed = _squeezed(name)
    known = {_squeezed(each): each for each in COSTS}
    exact = known.get(squeezed)
    if exact is None:
        # The longest name that the given one begins with: its end is the width or the weights of timm.
        exact = known.get(max((each for each in known if squeezed.startswith(each)), key=len, default=""))
    if exact is None and len(squeezed) >= _FAMILY:
        # A family without a size stands for its smallest.
        family = [each for short, each in known.items() if short.startswith(squeezed)]
        exact = min(family, key=lambda each: COSTS[each]) if family else None
    return COSTS[exact] if exact else None


def nearest_by_cost(cost: tuple[int, int], ours: Mapping[str, tuple[int, int]]) -> str:
    """Return the name of ours that costs most nearly as much, in ratios of parameters and of MACs.

    Args:
        cost: (parameters, MACs).
        ours: the same of each network to choose from.
    """

    def apart(name: str) -> float:
        return sum(abs(math.log(mine / theirs)) for mine, theirs in zip(ours[name], cost, strict=True))

    return min(ours, key=apart)


def _squeezed(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold()).removeprefix("tf")
