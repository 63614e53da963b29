"""The page's resize, run by Node: Pillow's, for every filter and every way to crop."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image

import residua
from residua.data.preprocess.resize import apply_uint8
from residua.exporting.web.site import resize_plan
from residua.specs.preprocess import CropMode, Interpolation, PreprocessSpec

SCRIPT = Path(residua.__file__).parent / "exporting" / "web" / "templates" / "resize.js"
# Reads jobs as lines of JSON, and answers each with its pixels in hexadecimal.
RUNNER = """
for (const line of require("fs").readFileSync(0, "utf8").trim().split("\\n")) {
  const { hex, width, height, step, spec } = JSON.parse(line);
  const out = prepared({ data: Uint8Array.from(Buffer.from(hex, "hex")), step, width, height }, spec);
  console.log(`${out.height} ${out.width} ${Buffer.from(out.data).toString("hex")}`);
}
"""
SIZES = [(40, 40), (37, 53), (120, 31), (20, 18), (32, 32), (300, 9), (1, 400), (2, 1), (333, 500)]


def _cases() -> list[tuple[PreprocessSpec, tuple[int, int]]]:
    specs: list[PreprocessSpec] = [
        PreprocessSpec(32, 36, interpolation=filter_, crop_mode=mode, mean=(0.5, 0.25, 0.1))
        for filter_ in get_args(Interpolation)
        for mode in get_args(CropMode)
    ]
    specs += [PreprocessSpec((24, 32), (27, 36), crop_mode=mode) for mode in get_args(CropMode)]
    specs += [PreprocessSpec(32, 32), PreprocessSpec(33, 38, interpolation="bicubic")]
    return [(spec, size) for spec in specs for size in SIZES]


def test_it_gives_pillows_pixels(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node, which runs the page's script here")
    generator = np.random.default_rng(0)
    program = tmp_path / "run.js"
    program.write_text(SCRIPT.read_text(encoding="utf-8") + RUNNER)
    jobs: list[dict[str, Any]] = []
    wanted = []
    for number, (spec, (height, width)) in enumerate(_cases()):
        image = generator.integers(0, 256, (height, width, 3), np.uint8)
        if max(height, width) > 2 * min(height, width):
            # Newer versions of Pillow go down before they go across for some sizes: noise shows the order.
            coarse = Image.fromarray(image).resize((3, 3), Image.Resampling.BOX)
            image = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
        wanted.append(apply_uint8(image, spec))
        step = 3 + number % 2
        padded = np.concatenate([image, np.full((height, width, step - 3), 9, np.uint8)], 2)
        job = {"hex": padded.tobytes().hex(), "width": width, "height": height, "step": step}
        jobs.append(job | {"spec": resize_plan(spec)})
    text = "".join(json.dumps(job) + "\n" for job in jobs)
    done = subprocess.run([node, program], input=text, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(wanted) == 207
    exact = 0
    for line, pixels, (spec, size) in zip(lines, wanted, _cases(), strict=True):
        height, width, values = line.split(" ")
        out = np.frombuffer(bytes.fromhex(values), np.uint8).reshape(int(height), int(width), 3)
        assert out.shape == pixels.shape
        far = np.abs(out.astype(int) - pixels).max()
        both = max(size) <= 2 * min(size) and spec.crop_mode != "squash"
        assert far <= (0 if both else 1), (spec, size)
        exact += far == 0
    assert exact > 190
