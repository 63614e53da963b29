"""The lecture's rows 81 to 85 and 90 to 93, from AlexNet to GoogLeNet, of the list of what the articles name."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from anatomy.test_lecture import ALEXNET
from residua.anatomy import inspect
from residua.anatomy.lecture import lecture_table
from residua.cli.app import main
from residua.families.build import build
from residua.families.network import AuxLogits
from residua.layers.norm import LocalResponseNorm
from residua.specs.catalog import counts, get_spec
from residua.studies.catalog import get_study
from residua.studies.study import StudyOptions
from residua.training.step.loss import training_loss


def _convolutions(name: str) -> list[tuple[tuple[int, ...], ...]]:
    """Return (kernel, stride, padding, output) of each convolution."""
    layers = inspect(name).layers
    return [(*layer.window, layer.output) for layer in layers if layer.operation == "conv2d"]


def test_row_081_alexnets_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Memory lies in the first convolutions, parameters in the linear layers, work in the convolutions."""
    rows = lecture_table(inspect("alexnet", (3, 227, 227)))
    assert [row.layer for row in rows] == list(ALEXNET)
    linear = [row for row in rows if row.layer.startswith("fc") or row.layer == "logits"]
    outputs = [row for row in rows if not row.layer.startswith("pool")]
    memory, params, mflop = (sum(getattr(row, key) for row in outputs) for key in ("memory_kb", "params_k", "mflop"))
    assert (round(memory / 1024, 1), round(params / 1000), round(mflop)) == (1.9, 61, 717)
    assert sum(row.memory_kb for row in outputs[:2]) / memory == pytest.approx(0.68, abs=0.01)
    assert sum(row.params_k for row in linear) / params == pytest.approx(0.96, abs=0.01)
    assert sum(row.mflop for row in linear) / mflop == pytest.approx(0.08, abs=0.01)
    assert main(["inspect", "alexnet", "--input", "3x227x227", "--table", "lecture"]) == 0
    printed = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line}
    assert {"784", "23", "73"} <= set(printed["conv1"])


def test_row_082_zfnets_first_and_last_convolutions() -> None:
    """7×7 at stride 2 where AlexNet has 11×11 at 4; the last three with 512, 1,024, 512 maps, or the paper's."""
    (kernel, stride, _, _), *_ = _convolutions("zfnet_512_1024_512")
    assert (kernel, stride) == ((7, 7), (2, 2))
    (kernel, stride, _, _), *_ = _convolutions("alexnet")
    assert (kernel, stride) == ((11, 11), (4, 4))
    for name, maps in (("zfnet_512_1024_512", [512, 1024, 512]), ("zfnet", [384, 384, 256])):
        found = _convolutions(name)
        assert [output[0] for *_, output in found[2:]] == maps
        assert {kernel for kernel, *_ in found[2:]} == {(3, 3)}


@pytest.mark.parametrize(
    ("name", "stages"), [("vgg16", (2, 2, 3, 3, 3)), ("vgg19", (2, 2, 4, 4, 4)), ("vgg11", (1, 1, 2, 2, 2))]
)
def test_row_083_vggs_rules(name: str, stages: tuple[int, ...]) -> None:
    """3×3 convolutions of stride 1 and padding 1, 2×2 pools of stride 2, channels that double; five stages."""
    found = inspect(name)
    assert {tuple(rest) for *rest, _ in _convolutions(name)} == {((3, 3), (1, 1), (1, 1))}
    pools = [layer for layer in found.layers if layer.operation == "max_pool2d"]
    assert [(pool.window, pool.output) for pool in pools] == [
        (((2, 2), (2, 2), (0, 0)), (channels, side, side))
        for channels, side in ((64, 112), (128, 56), (256, 28), (512, 14), (512, 7))
    ]
    parts = [part.name for part in found.parts]
    assert tuple(sum(part.startswith(f"conv{stage}_") for part in parts) for stage in range(1, 6)) == stages


def test_row_084_a_pool_and_twice_the_channels_cost_the_same() -> None:
    """The convolutions between equal widths take 1,849.7 MFLOP on each of four resolutions; memory halves each time."""
    rows = {row.layer: row for row in lecture_table(inspect("vgg16"))}
    same = [rows[name] for name in ("conv1_2", "conv2_2", "conv3_2", "conv3_3", "conv4_2", "conv4_3")]
    assert {row.mflop for row in same} == {1849.688064}
    memory = [rows[name].memory_kb for name in ("conv1_2", "conv2_2", "conv3_2", "conv4_2")]
    assert memory == [12_544, 6_272, 3_136, 1_568]
    # The last stage halves the side and keeps 512 channels.
    assert rows["conv5_2"].mflop == 1849.688064 / 4


def test_row_085_one_5x5_against_two_3x3() -> None:
    """25·C² against 18·C² weights, times H·W multiply-accumulates; both see 5×5, and the pair has a ReLU more."""
    two, one = (inspect(arm.spec) for arm in get_study("two-3x3").grid(StudyOptions(quick=True)))
    for channels, side in ((16, 32), (32, 16), (64, 8)):
        shape = (channels, side, side)
        first, second = (
            [layer for layer in found.layers if layer.operation == "conv2d" and layer.output == shape][1:]
            for found in (one, two)
        )
        assert [layer.params - channels for layer in first] == [25 * channels**2]
        assert sum(layer.params - channels for layer in second) == 18 * channels**2
        assert [layer.macs for layer in first] == [25 * channels**2 * side**2]
        assert sum(layer.macs for layer in second) == 18 * channels**2 * side**2
        assert first[-1].receptive_field == second[-1].receptive_field
    activations = [sum(layer.operation == "relu" for layer in found.layers) for found in (one, two)]
    assert activations == [6, 9]


def test_row_090_an_inception_module() -> None:
    """Four branches side by side, 64 + 128 + 32 + 32 maps; 1×1 convolutions narrow what 3×3 and 5×5 read."""
    layers = [layer for layer in inspect("googlenet").layers if layer.part == "inception_3a/output"]
    convs = [layer for layer in layers if layer.operation == "conv2d"]
    assert [(layer.window[0][0], layer.output[0]) for layer in convs] == [
        *((1, 64), (1, 96), (3, 128), (1, 16), (5, 32), (1, 32)),
    ]
    pool = next(layer for layer in layers if layer.operation == "max_pool2d")
    assert (pool.window, pool.output) == (((3, 3), (1, 1), (1, 1)), (192, 28, 28))
    assert (layers[-1].operation, layers[-1].output, len(layers[-1].inputs)) == ("cat", (256, 28, 28), 4)
    narrowed = sum(layer.macs for layer in convs if layer.output[0] in (16,) or layer.window[0] == (5, 5))
    assert narrowed == 12_443_648
    assert 25 * 192 * 32 * 28**2 / narrowed == pytest.approx(9.7, abs=0.05)


@pytest.mark.parametrize(("name", "channels"), [("googlenet", 1024), ("resnet34", 512), ("resnet50", 2048)])
def test_row_091_global_average_and_one_linear_layer(name: str, channels: int) -> None:
    """7×7 maps become one number a channel; a single linear layer follows, where VGG-16 has 123.6 of 138.4 million."""
    layers = [layer for layer in inspect(name).layers if layer.runs]
    pool = next(layer for layer in layers if layer.operation in ("adaptive_avg_pool2d", "mean"))
    assert pool.output[0] == channels
    assert next(layer.output for layer in layers if layer.name == pool.inputs[0]) == (channels, 7, 7)
    linear = [layer.params for layer in layers if layer.operation == "linear"]
    assert linear == [1000 * channels + 1000]
    vgg = [layer.params for layer in inspect("vgg16").layers if layer.operation == "linear"]
    assert vgg == [102_764_544, 16_781_312, 4_097_000]
    assert sum(vgg) / 138_357_544 == pytest.approx(0.893, abs=0.001)


def test_row_092_auxiliary_classifiers() -> None:
    """Two heads behind 4a and 4d answer in training alone, and their losses count three tenths each."""
    spec = get_spec("googlenet", widths=((8, 8, 8, 8, 8, 8),) * 9, num_classes=5)
    assert (spec.aux_heads, spec.aux_weight) == (True, 0.3)
    network = build(spec)
    image, labels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)), torch.tensor([1, 4])
    found = network.train()(image)
    assert isinstance(found, AuxLogits)
    assert [tuple(logits.shape) for logits in found.aux] == [(2, 5), (2, 5)]
    main_loss, first, second = (F.cross_entropy(logits, labels) for logits in (found.logits, *found.aux))
    total = training_loss(found, labels, aux_weight=spec.aux_weight)
    torch.testing.assert_close(total, main_loss + 0.3 * first + 0.3 * second)
    assert isinstance(network.eval()(image), torch.Tensor)


def test_row_093_batch_normalisation_in_their_place() -> None:
    """A norm behind each convolution, and no response normalisation; VGG-16 gains two numbers a map."""
    for name, convolutions in (("googlenet_bn", 57), ("vgg16_bn", 13)):
        with torch.device("meta"):
            network = build(get_spec(name, aux_heads=False) if name == "googlenet_bn" else get_spec(name))
        kinds = [type(module) for module in network.modules() if not list(module.children())]
        assert (kinds.count(nn.Conv2d), kinds.count(LocalResponseNorm)) == (convolutions, 0)
        assert sum(issubclass(kind, nn.BatchNorm2d) for kind in kinds) == convolutions
    with torch.device("meta"):
        before = list(build(get_spec("googlenet")).modules())
    assert sum(isinstance(module, LocalResponseNorm) for module in before) == 2
    assert not any(isinstance(module, nn.BatchNorm2d) for module in before)
    plain, normed = counts("vgg16"), counts("vgg16_bn")
    assert plain is not None
    assert normed is not None
    assert normed[0] - plain[0] == 2 * (2 * 64 + 2 * 128 + 3 * 256 + 6 * 512)
