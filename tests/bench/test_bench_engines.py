"""Engines in one benchmark: each computes itself, in turns, and what cannot be is refused before any work."""

from __future__ import annotations

import pytest

from residua._base.errors import InputError
from residua.bench.bench import bench
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
