"""The memory of a training step as torch's allocator reports it: an oracle for the prediction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from residua.families.build import build
from residua.families.network import AuxLogits
from residua.specs.schema import Spec


def training_peak(spec: Spec, batch: int, size: int, optimizer: str = "sgd") -> int:
    """Return the peak, in bytes, of a step after the first: fp32, eager, the family's layout, cross-entropy.

    What is there before the step is counted from its tensors; what the step takes, from the allocator's own events.
    """
    torch.manual_seed(0)
    network = build(spec).train()
    layout = torch.channels_last if network.trains_channels_last else torch.contiguous_format
    network = network.to(memory_format=layout)
    images = torch.randn(batch, spec.in_channels, size, size).contiguous(memory_format=layout)
    labels = torch.arange(batch) % spec.num_classes
    weights = list(network.parameters())
    steps = (
        torch.optim.SGD(weights, 0.01, momentum=0.9, fused=True)
        if optimizer == "sgd"
        else torch.optim.Adam(weights, fused=True)
    )
    state = 1 if optimizer == "sgd" else 2

    def step() -> None:
        steps.zero_grad()
        answer = network(images)
        heads = [answer.logits, *answer.aux] if isinstance(answer, AuxLogits) else [answer]
        loss = sum(F.cross_entropy(logits, labels) for logits in heads)
        del answer, heads
        loss.backward()
        steps.step()

    step()
    steps.zero_grad()
    before = [*weights * (1 + state), *network.buffers(), images]
    resident = sum(tensor.numel() * tensor.element_size() for tensor in before)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    taken = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        taken += event.nbytes()
        most = max(most, taken)
    return resident + most
