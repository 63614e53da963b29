"""Where the time of a run's steps goes: a table of phases, and a trace of single operations."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from residua._base.files import write_text, writing

Watch = Callable[[str], contextlib.AbstractContextManager[None]]
"""Called with the name of each phase of a step: "data", "forward", "backward", "update"."""
PHASES = ("data", "waiting", "forward", "backward", "update")
FOLDER = "profile"
"""In the run's folder: `profile.json`, the table, and `trace.json`, for chrome://tracing or ui.perfetto.dev."""
_WARM_UP, _STEPS, _TRACED = 3, 20, 3  # steps left out, steps in the table, steps in the trace


@dataclass(frozen=True)
class Profile:
    """The mean step of a run.

    Attributes:
        steps: that were measured.
        images: of a step.
        seconds: of a step by the clock, mean.
        phases: of it, seconds by phase, mean. "data": images are augmented and normalised. "waiting": for decoded
            images, for the device, or for a processor that others use, while data is asked for.
        rest: of it, seconds in no phase: the loop, losses that are read, checkpoints. Phases and rest sum to `seconds`.
    """

    steps: int
    images: int
    seconds: float
    phases: dict[str, float]
    rest: float

    @property
    def lines(self) -> list[str]:
        """The table as text."""
        rows = [*self.phases.items(), ("rest", self.rest), ("step", self.seconds)]
        return [
            f"Profile: the mean of {self.steps} steps of {self.images} images, "
            f"{self.images / self.seconds:,.0f} images/s",
            *(f"  {name:9} {1000 * each:10,.2f} ms {each / self.seconds:7.1%}" for name, each in rows),
        ]


class Profiler:
    """Measures the first steps of a run, then traces a few more; the run itself is unchanged.

    The table's steps carry no profiler of torch's: that would slow small operations down. On a GPU each phase ends when
    the device has done it, so that a profiled step is slower than others.

    Args:
        folder: of the run.
        device: that it computes on.
        images: of a step.
        say: prints a line of the table.
    """

    def __init__(self, folder: Path, device: torch.device, images: int, say: Callable[[str], None]) -> None:
        self._folder, self._device, self._images, self._say = folder / FOLDER, device, images, say
        self._done, self._walls = 0, list[float]()
        self._sums = dict.fromkeys(PHASES, 0.0)
        self._began: float | None = None
        self._trace: torch.profiler.profile | None = None
        self.profile: Profile | None = None

    @property
    def active(self) -> bool:
        """Whether steps are still measured or traced."""
        return self._done < _WARM_UP + _STEPS + _TRACED

    def watch(self, phase: str) -> contextlib.AbstractContextManager[None]:
        """Measure a phase of the current step."""
        return self._watched(phase) if self.active else unwatched(phase)

    @contextlib.contextmanager
    def _watched(self, phase: str) -> Iterator[None]:
        started, busy = time.perf_counter(), time.thread_time()
        if self._began is None:
            self._began = started
        with torch.profiler.record_function(phase) if self._trace else contextlib.nullcontext():
            yield
            self._wait()
        if not self._counts:
            return
        seconds = time.perf_counter() - started
        if phase == "data":
            # Whatever this thread did not compute, it waited.
            waited = max(0.0, seconds - (time.thread_time() - busy))
            self._sums["waiting"] += waited
            seconds -= waited
        self._sums[phase] += seconds

    def step(self) -> None:
        """End a step: the next one begins here."""
        if not self.active:
            return
        now = time.perf_counter()
        if self._counts and self._began is not None:
            self._walls.append(now - self._began)
        self._done += 1
        self._began = now
        if self._done == _WARM_UP + _STEPS:
            self._settle()
            self._start_trace()
        elif self._trace is not None and not self.active:
            self._write_trace()
            self._print()

    def pause(self) -> None:
        """Leave what comes between two epochs out."""
        self._began = None

    def finish(self) -> None:
        """End with what there is, where the run was too short."""
        if not self.active:
            return
        if self.profile is None and self._walls:
            self._settle()
        if self._trace is not None:
            self._write_trace()
        self._done = _WARM_UP + _STEPS + _TRACED
        self._print()

    def _print(self) -> None:
        for line in self.profile.lines if self.profile else ["No step was profiled: the run has too few"]:
            self._say(line)

    @property
    def _counts(self) -> bool:
        return _WARM_UP <= self._done < _WARM_UP + _STEPS

    def _settle(self) -> None:
        count, wall = len(self._walls), sum(self._walls)
        phases = {name: seconds / count for name, seconds in self._sums.items()}
        self.profile = Profile(count, self._images, wall / count, phases, (wall - sum(self._sums.values())) / count)
        self._write("profile.json", json.dumps(asdict(self.profile), indent=1))

    def _start_trace(self) -> None:
        # Kineto reads it when it is first used: it prints that it starts and that there is no GPU.
        os.environ.setdefault("KINETO_LOG_LEVEL", "10")
        activities = [torch.profiler.ProfilerActivity.CPU]
        if self._device.type == "cuda":
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        self._trace = torch.profiler.profile(activities=activities)
        self._trace.start()

    def _write_trace(self) -> None:
        trace, self._trace = self._trace, None
        assert trace is not None
        trace.stop()
        path = self._folder / "trace.json"
        with writing(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            beside = path.with_suffix(".part")
            trace.export_chrome_trace(str(beside))
            # What others read names no place on this machine.
            document: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
            beside.unlink()
            document.pop("traceName", None)
            write_text(path, json.dumps(document))

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        with writing(path):
            self._folder.mkdir(parents=True, exist_ok=True)
            write_text(path, text + "\n")

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def unwatched(phase: str) -> contextlib.AbstractContextManager[None]:
    """Measure nothing."""
    return contextlib.nullcontext()
