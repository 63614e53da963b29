"""The benchmark: what it counts, how it compares, what it refuses."""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType

import pytest
import torch

from residua._base.errors import InputError
from residua.anatomy import cost
from residua.bench.bench import bench
from residua.bench.case import Case, groups, ways
from residua.bench.chart import chart
from residua.bench.memory import PeakMemory
from residua.bench.report import Ratio
from residua.bench.steps import flops_of
from residua.bench.timing import Timing, clocked
from residua.bench.yardsticks import Yardstick
from residua.cli.app import main
from residua.runtime import native
from residua.specs.catalog import get_spec

CPU = torch.device("cpu")
SMALL = {"batch": 2, "batches": 3, "warm_up": 1, "device": "cpu"}


def test_what_times_say() -> None:
    timing = Timing(tuple(float(number) for number in range(1, 101)))
    assert (timing.mean, timing.median, timing.quantile(0.99), timing.quantile(1.0)) == (50.5, 50.5, 99.0, 100.0)
    assert timing.deviation == pytest.approx(29.011, abs=1e-3)
    assert Timing((2.0,)).deviation == 0


def test_a_ratio_compares_neighbours() -> None:
    ours, peer = Timing((1.0, 10.0, 2.0)), Timing((2.0, 20.0, 4.0))
    assert Ratio.of(ours, peer) == Ratio(2.0, 2.0, 2.0)
    with pytest.raises(ValueError, match="shorter"):
        Ratio.of(ours, Timing((1.0,)))


@pytest.mark.parametrize("name", ["cifar_resnet20", "resnet18", "cifar_resnet20_v2"])
def test_flops_are_twice_the_macs_and_training_has_both_gradients(name: str) -> None:
    spec = get_spec(name)
    forward = flops_of(Case(name, "residua", "forward", "eager", "fp32", 3, spec.input_size), spec)
    assert forward == 3 * 2 * cost(spec).macs
    training = flops_of(Case(name, "residua", "train", "eager", "fp32", 3, spec.input_size), spec)
    # The image needs no gradient: the stem's convolution is done twice, all others three times.
    stem = 2 * 3 * spec.stem_width * spec.in_channels
    stem *= 49 * (spec.input_size // 2) ** 2 if spec.stem == "imagenet" else 9 * spec.input_size**2
    assert training == 3 * forward - stem


def test_peak_memory_sees_what_is_let_go_again() -> None:
    memory = PeakMemory(CPU)
    held = torch.ones(64_000_000)
    assert held.sum() > 0
    del held
    peak = memory.read()
    assert peak is not None
    assert 250e6 < peak < 300e6


def test_peak_memory_counts_what_another_has_freed_before() -> None:
    held = [torch.ones(2_000) for _ in range(20_000)]  # too small to be given back on their own
    assert len(held) == 20_000
    del held
    memory = PeakMemory(CPU)
    held = [torch.ones(2_000) for _ in range(20_000)]
    peak = memory.read()
    assert len(held) == 20_000
    assert peak is not None
    assert peak > 150e6


def test_the_yardstick_multiplies() -> None:
    yardstick = Yardstick(Case("a", "residua", "forward", "eager", "fp32", 1, 32), CPU)
    yardstick.measure()
    step = torch.randn(256, 256)
    assert 0.1e9 < yardstick.rate < 1e14
    assert clocked(lambda: step @ step, CPU) > 0


PLAIN = ways(("eager",), ("eager",))


def test_engines_and_kernels_are_paired_as_they_can_be() -> None:
    assert PLAIN == (("eager", "eager"),)
    assert ways(("eager", "compiled"), ("eager", "native")) == (
        *(("eager", "eager"), ("eager", "native"), ("compiled", "eager")),
    )
    with pytest.raises(InputError, match=r"engine='warp'.*'eager', 'compiled'"):
        ways(("warp",), ("eager",))
    with pytest.raises(InputError, match=r"kernels='fused'.*'eager', 'native'"):
        ways(("eager",), ("fused",))


def test_the_engine_native_does_not_train(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "cifar_resnet8", "--engine", "native", "--mode", "train"]) == 2
    assert "Use --kernels native instead" in capsys.readouterr().err


def test_groups_take_turns_and_peers_stand_once() -> None:
    both = ways(("eager",), ("eager", "native"))
    found = groups(("a",), {"a": (32, 64)}, (1, 8), "train", both, ("fp32",), {"a": ("timm", "keras")})
    assert len(found) == 8
    ours = [("residua", "eager"), ("residua", "native kernels")]
    assert [(case.source, case.way) for case in found[0]] == [*ours, ("timm", "eager")]
    assert [(case.source, case.way) for case in found[1]] == [*ours, ("keras", "eager")]
    first, second = groups(
        *(
            ("a",),
            {"a": (32,)},
            (1,),
            "forward",
            PLAIN + ways(("compiled",), ("eager",)),
            ("fp32",),
            {"a": ("timm", "keras")},
        )
    )
    assert [(case.source, case.engine) for case in first[2:]] == [("timm", "eager"), ("timm", "compiled")]
    assert [(case.source, case.engine) for case in second[2:]] == [("keras", "eager")]
    (alone,) = groups(("a",), {"a": (32,)}, (1,), "forward", PLAIN, ("fp32",), {"a": ()})
    assert len(alone) == 1


def test_forward_beside_a_peer() -> None:
    report = bench("resnet18", resolution=32, peer="torchvision", **SMALL)
    ours, peer = report.results
    assert (ours.case.source, peer.case.source, ours.ratio) == ("residua", "torchvision", None)
    assert peer.ratio is not None
    assert len(ours.timing.seconds) == len(peer.timing.seconds) == 3
    assert report.geometric_means() == {"torchvision": pytest.approx(peer.ratio.median)}
    document = json.loads(json.dumps(report.to_dict()))
    assert document["results"][1]["times_the_peer"]["median"] == peer.ratio.median
    line = report.sentences()[0]
    assert re.fullmatch(r"resnet18 \(residua\): forward across 3 steps, \d+\.\d{3} \+/- \d+\.\d{3} sec / batch", line)
    drawing = ElementTree.fromstring(chart(report))
    bars = drawing.findall(".//{http://www.w3.org/2000/svg}rect")
    assert [bar.get("class") for bar in bars] == ["paper", "first", "second"]


def test_peak_memory_of_training_holds_the_optimizers_buffers() -> None:
    """In a process of its own: pages that other tests have freed, and that are used again, count for nothing."""
    code = "from residua.bench.bench import bench\n"
    code += (
        "found, = bench('vgg11', resolution=32, mode='train', batch=2, batches=1, warm_up=1, device='cpu').results\n"
    )
    code += "print(found.peak_bytes)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    weights = 4 * cost(get_spec("vgg11")).params  # most of them in the classifier: activations are small beside them
    assert 2.5 * weights < int(done.stdout) < 4.5 * weights


def test_beside_keras(keras: ModuleType) -> None:
    report = bench("resnet50_keras", resolution=32, peer="keras", **{**SMALL, "batches": 1})
    assert [result.case.source for result in report.results] == ["residua", "keras"]
    assert report.geometric_means()["keras"] > 0


def test_training_moves_the_weights_in_every_engine() -> None:
    kinds = ("eager",) if native.reason() else ("eager", "native")
    report = bench("cifar_resnet8", mode="train", kernels=kinds, **SMALL)
    assert [result.case.kernels for result in report.results] == list(kinds)
    assert all(result.matmul_share > 0 for result in report.results)


def test_bf16_and_several_shapes() -> None:
    shapes = bench("cifar_resnet8", resolution=(16, 32), **{**SMALL, "batch": (1, 2), "batches": 1})
    assert len({result.case for result in shapes.results}) == 4
    formats = bench("cifar_resnet8", precision=("fp32", "bf16"), resolution=16, **{**SMALL, "batches": 1})
    assert [result.case.precision for result in formats.results] == ["fp32", "bf16"]


def test_what_is_given_twice_is_measured_once() -> None:
    twice = {**SMALL, "batch": (1, 1), "batches": 1, "resolution": (0, 32, 32), "engine": ("eager", "eager")}
    assert len(bench("cifar_resnet8", "cifar_resnet8", **twice).results) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "no network"),
        (["resnet51"], "resnet50"),
        (["resnet18", "--batch", "0"], "--batch 0"),
        (["resnet18", "--batch", "two"], "Given: --batch two. Wanted: a whole number."),
        (["resnet18", "--batch", "1", "--mode", "train"], "--batch 1. Wanted: a whole number, 2 to 1,000,000"),
        (["resnet18", "--batches", "0"], "--batches 0"),
        (["resnet18", "--resolution", "-1"], "--resolution -1"),
        (["resnet18", "--batch", ","], "--batch"),
        (["resnet18", "--engine", ","], "--engine"),
        (["resnet18", "--precision", ","], "--precision"),
        (["vgg16", "--peer", "keras", "--resolution", "64", "--batch", "1"], "Leave out --resolution"),
        (["resnet18", "--engine", "warp"], "compiled"),
        (["resnet18", "--kernels", "native"], "--kernels native with --mode forward and --precision fp32"),
        (["resnet18", "--kernels", "native", "--engine", "compiled", "--mode", "train"], "--engine eager"),
        (["resnet18", "--kernels", "fused"], "Given: --kernels fused. Wanted: one of eager, native."),
        (["resnet18", "--precision", "fp8"], "Given: --precision fp8. Wanted: one of fp32, bf16, int8."),
        (["resnet18", "--peer", "caffe"], "torchvision"),
        (["resnet50_v2", "--peer", "torchvision"], "a library that has one of these networks: timm."),
        (["resnet50_v1", "--peer", "timm"], "networks that timm has, such as seresnet50_v1"),
        (["resnet18", "--chart", "a.svg", "--out", "./a.svg"], "a.svg for both --chart and --out"),
        (["resnet18", "--chart", "a.png"], "Use a.svg"),
        (["resnet18", "--device", "cuda:7"], "cuda:7"),
        (["resnet18", "--out", "no/such/folder/a.json"], "a folder that exists"),
        (["resnet18", "--out", "/proc/a.json"], "a folder that can be written to"),
    ],
)
def test_refusals(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_the_command_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["cifar_resnet8", "--batch", "2", "--batches", "2", "--warm-up", "0", "--device", "cpu"]
    words += ["--out", str(tmp_path / "a.json"), "--chart", str(tmp_path / "a.svg"), "--json"]
    assert main(["bench", *words]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "a.json").read_text())
    drawing, document = (tmp_path / "a.svg").read_text(), (tmp_path / "a.json").read_text()
    assert drawing.startswith("<svg")
    for text in (drawing, document):
        assert platform.node() not in text
        assert str(Path.home()) not in text
        assert str(tmp_path) not in text
