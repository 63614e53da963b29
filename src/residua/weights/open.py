"""Open a trained run, or published weights as if they were one."""

from __future__ import annotations

from pathlib import Path

from residua.specs.schema import Spec
from residua.weights.named.open_bundle import open_bundle
from residua.weights.run import Run


def load(name: Path | str, model: str | Spec | None = None) -> Run:
    """Load a trained run, or weights by name as if they were one.

    Args:
        name: a run folder, of which only model.safetensors and config.json are read; a file of weights that its
            training kept, "RUN/checkpoints/epoch-0003.safetensors"; or whatever `create_model` takes as weights:
            "hf://ORG/REPO", "torchvision:IMAGENET1K_V2", "timm:TAG", an address, a file.
        model: the network, where the weights do not state it themselves.

    Raises:
        InputError: as `read_bundle`; weights that cannot be had or do not fit, or of which nothing states the
            network or the preprocessing.
    """
    return Run.of(*open_bundle(name, model))
