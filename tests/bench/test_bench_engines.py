"""Engines in one benchmark: each computes itself, in turns, and what cannot be is refused before any work."""

from __future__ import annotations

import pytest
import torch

from residua._base.errors import InputError
from residua.bench.bench import bench
from residua.bench.case import Case, pairs
from residua.bench.yardsticks import Yardstick
from residua.cli.app import main
from residua.runtime.engines import openvino


def test_engines_take_turns_in_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    compute = openvino.OpenVINO._compute

    def counted(self: openvino.OpenVINO, opened: object, images: object) -> object:
        batches.append(len(images))  # type: ignore[arg-type]
        return compute(self, opened, images)  # type: ignore[arg-type]

    monkeypatch.setattr(openvino.OpenVINO, "_compute", counted)
    report = bench("cifar_resnet8", batch=3, engine=("eager", "openvino"), batches=4, warm_up=1, device="cpu")
    assert [result.case.engine for result in report.results] == ["eager", "openvino"]
    # The step that builds, one of warming up, and four that are measured.
    assert batches == [3] * 6
    for result in report.to_dict()["results"]:
        assert len(result["seconds"]) == 4
        assert 0 < result["seconds_median"] <= result["seconds_p99"]
        assert result["images_per_second"] == pytest.approx(3 / result["seconds_median"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "openvino", "mode": "train"}, r"engine='openvino' with mode='train'.*'eager' or 'compiled'"),
        ({"engine": "onnxruntime", "precision": "bf16"}, r"engine='onnxruntime' in bf16"),
        ({"engine": "openvino", "kernels": "native"}, r"kernels='native' with engine='openvino'"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        bench("cifar_resnet8", batch=2, device="cpu", **options)  # type: ignore[arg-type]


def test_engines_and_formats_are_paired_as_they_can_be() -> None:
    both = pairs(("eager", "openvino", "onnxruntime"), ("fp32", "bf16", "int8"))
    assert ("eager", "int8") not in both
    assert ("onnxruntime", "bf16") not in both
    assert len(both) == 7
    with pytest.raises(InputError, match=r"engine='eager' in int8"):
        pairs(("eager", "compiled"), ("fp32", "int8"))
    with pytest.raises(InputError, match=r"engine='onnxruntime' in bf16"):
        pairs(("onnxruntime",), ("fp32", "bf16"))


def test_every_format_in_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "cifar_resnet8", "--batch", "2", "--batches", "3", "--warm-up", "0", "--device", "cpu"]
    words += ["--engine", "eager,openvino,onnxruntime", "--precision", "fp32,int8", "--threads", "1,2"]
    before = torch.get_num_threads()
    assert main(words) == 0
    assert torch.get_num_threads() == before
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == "cifar_resnet8: forward; batch 2, 32 pixels"
    assert lines[1].split() == ["by", "format", "threads", "images/s", "p50", "ms", "p99", "ms", "GEMM", "peak", "MB"]
    rows = [tuple(line.split()[:3]) for line in lines[3:13]]
    ways = [("eager", "fp32"), ("openvino", "fp32"), ("onnxruntime", "fp32"), ("openvino", "int8")]
    assert rows == [(*way, count) for count in "12" for way in (*ways, ("onnxruntime", "int8"))]
    assert max(map(len, lines[:14])) <= 80
    assert "no gate has judged" in printed.err


def test_ours_stands_beside_the_peer_in_fp32() -> None:
    report = bench(
        *("resnet18",),
        resolution=32,
        batch=1,
        engine="openvino",
        precision=("int8", "fp32"),
        peer="torchvision",
        batches=2,
        warm_up=0,
        device="cpu",
    )
    ours, whole, peer = report.results
    assert (ours.case.precision, whole.case.precision, peer.case.precision) == ("int8", "fp32", "fp32")
    assert ours.beside is not None
    assert (ours.beside.peer, ours.beside.way) == ("torchvision", "eager, fp32")
    ratios = sorted(b / a for a, b in zip(ours.timing.seconds, peer.timing.seconds, strict=True))
    assert ours.beside.ratio.low == pytest.approx(ratios[0])
    (table,) = report.tables()
    width = [max(len(row[i]) for row in (table.header, *table.rows)) for i in range(len(table.header))]
    assert sum(width) + 2 * (len(width) - 1) <= 80


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("engine", ["eager", "openvino", "onnxruntime"])
def test_yardsticks_multiply(engine: str, precision: str) -> None:
    if engine == "eager" and precision == "int8":
        return
    yardstick = Yardstick(Case("a", "residua", "forward", engine, precision, 1, 32), torch.device("cpu"))  # type: ignore[arg-type]
    yardstick.measure()
    assert 1e8 < yardstick.rate < 1e15
