"""From a case to a step that can be timed: the network, its batch and, in training, its optimizer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from residua._base.errors import InputError
from residua.bench.case import INFERRING, Case
from residua.exporting.ladders.calibration import Calibration
from residua.exporting.ladders.nncf import quantised_openvino
from residua.exporting.ladders.onnxruntime import quantised_onnx
from residua.exporting.names import MAX_DROP
from residua.families.build import build
from residua.families.network import AuxLogits
from residua.runtime import native
from residua.runtime.compiling import compiled
from residua.runtime.device import inference_format
from residua.runtime.engines.engine import open_engine
from residua.runtime.engines.sessions import OnnxRuntimeSession, OpenVINOSession, Session
from residua.runtime.graphs.fold import fold_batch_norm
from residua.runtime.graphs.onnx import to_onnx
from residua.runtime.graphs.openvino import to_openvino
from residua.runtime.graphs.program import LEAST_EXAMPLES, example_images, export_program
from residua.specs.schema import Spec
from residua.training.step.loss import training_loss

Step = Callable[[], Any]
INT8 = "int8: the plain recipe of residua export, calibrated on noise; a speed alone, which no gate has judged"
_CALIBRATION = 8  # batches of noise of one image
_OWN_THREADS = torch.get_num_threads()


def our_step(case: Case, spec: Spec, device: torch.device) -> Step:
    """Return a step of our network.

    Raises:
        InputError: the native kernels cannot serve this network; an engine is not installed or does not compute here.
    """
    torch.manual_seed(0)
    network: nn.Module = build(spec).to(device)
    if device.type == "cuda":
        network.to(memory_format=inference_format(network, device))
    if case.kernels == "native" and not native.accelerate(network):
        raise InputError(
            f"kernels='native' for {case.model}",
            "a network with layers that the fused kernels serve, on a CPU",
            native.reason() or "Use kernels='eager'",
        )
    images = images_of(spec, case, device)
    if case.precision == "int8":
        return _int8_step(network, case, images)
    if case.engine in INFERRING:
        images = images.contiguous(memory_format=inference_format(network, device))
        engine = open_engine(
            network, case.engine, precision=case.precision, device=device, shape=(case.batch, *images.shape[1:])
        )
        return lambda: engine(images)
    return _step(network, case, spec, images)


def _int8_step(network: nn.Module, case: Case, images: Tensor) -> Step:
    """Return a step of the int8 form that the plain recipe of an export gives, calibrated on noise."""
    size = (int(images.shape[1]), case.resolution, case.resolution)
    program = export_program(fold_batch_norm(network, (LEAST_EXAMPLES, *size)).network, example_images(size))
    noise = torch.randn(_CALIBRATION, 1, *size, generator=torch.Generator().manual_seed(2)).numpy()
    calibration = Calibration(list(noise))
    recipes = (
        quantised_openvino(to_openvino(program), calibration, MAX_DROP)
        if case.engine == "openvino"
        else quantised_onnx(to_onnx(program), calibration)
    )
    _, smaller = next(recipes)
    threads = torch.get_num_threads()
    session: Session = (
        OpenVINOSession(smaller, "int8", threads)
        if case.engine == "openvino"
        else OnnxRuntimeSession(smaller.SerializeToString(), threads)
    )
    taken = images.permute(0, 2, 3, 1).contiguous().numpy()
    return lambda: session(taken)


def use_threads(count: int) -> None:
    """Let torch use this many threads of the CPU from now on; 0 for its own choice."""
    torch.set_num_threads(count or _OWN_THREADS)


def peer_step(case: Case, network: nn.Module, spec: Spec, device: torch.device) -> Step:
    """Return a step of a peer's torch network, in its library's memory layout."""
    return _step(network.to(device), case, spec, images_of(spec, case, device))


def images_of(spec: Spec, case: Case, device: torch.device) -> Tensor:
    """Return a batch of noise, (B, C, H, W): speed does not depend on the content of images."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(case.batch, spec.in_channels, case.resolution, case.resolution, generator=generator).to(device)


def flops_of(case: Case, spec: Spec) -> int:
    """Return the FLOPs of one step: two per multiply-accumulate of convolutions and matrix products.

    A training step includes its backward pass. Arithmetic that an engine saves is still counted.
    """
    with torch.device("meta"):
        network = build(spec)
        network.train(case.mode == "train")
        images = torch.empty(case.batch, spec.in_channels, case.resolution, case.resolution)
        labels = torch.empty(case.batch, dtype=torch.long)
    with torch.set_grad_enabled(case.mode == "train"), FlopCounterMode(display=False) as counter:
        outputs = network(images)
        if case.mode == "train":
            _loss(outputs, labels, _aux_weight(spec)).backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


def _aux_weight(spec: Spec) -> float:
    return float(getattr(spec, "aux_weight", 0.0))


def _step(network: nn.Module, case: Case, spec: Spec, images: Tensor) -> Step:
    training = case.mode == "train"
    network.train(training)
    forward = compiled(network) if case.engine == "compiled" else network
    kind = images.device.type

    def autocast() -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(kind, dtype=torch.bfloat16, enabled=case.precision == "bf16")

    if not training:

        def infer() -> Any:
            with torch.inference_mode(), autocast():
                return forward(images)

        return infer

    labels = torch.arange(case.batch, device=images.device) % spec.num_classes
    # The same optimizer for all: its time is part of a step, but its choice is not a property of a network.
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, fused=True)

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            outputs = forward(images)
        _loss(outputs, labels, _aux_weight(spec)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return train


def _loss(outputs: Any, labels: Tensor, aux_weight: float) -> Tensor:
    """Return the loss of `residua train`; peers return their auxiliary logits behind the logits, or None."""
    if not isinstance(outputs, Tensor | AuxLogits):
        logits, *aux = (each for each in outputs if each is not None)
        outputs = AuxLogits(logits, tuple(aux))
    return training_loss(outputs, labels, aux_weight=aux_weight)
