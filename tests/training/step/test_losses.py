"""Losses come in the order of the steps, at once on a CPU; a device is never waited for unless all are wanted."""

from __future__ import annotations

from typing import ClassVar

import torch

from residua.training.step.losses import Loss, LossReader

CPU = torch.device("cpu")


class Mark:
    """A mark that a test passes by hand."""

    made: ClassVar[list[Mark]] = []
    waited = 0

    def __init__(self) -> None:
        self.recorded = self.passed = False
        Mark.made.append(self)

    def record(self) -> None:
        self.recorded = True

    def query(self) -> bool:
        return self.passed

    def synchronize(self) -> None:
        assert self.recorded
        Mark.waited += not self.passed


def test_a_cpus_loss_is_taken_at_once() -> None:
    reader = LossReader(CPU)
    reader.add(torch.tensor(0.5), 32, 7)
    assert reader.take(wait=False) == [Loss(0.5, 32, 7)]
    assert reader.take(wait=True) == []


def test_a_device_is_asked_and_not_waited_for() -> None:
    Mark.made, Mark.waited = [], 0
    reader = LossReader(CPU, Mark)
    for number in range(60):
        reader.add(torch.tensor(float(number)), 8, number)
        assert reader.take(wait=False) == []
    assert [mark.recorded for mark in Mark.made] == [True, True]
    assert float(reader.last) == 59
    Mark.made[0].passed = True
    first = reader.take(wait=False)
    assert first == [Loss(float(number), 8, number) for number in range(25)]
    assert Mark.waited == 0
    assert [loss.number for loss in reader.take(wait=True)] == list(range(25, 60))
    assert Mark.waited == 1
