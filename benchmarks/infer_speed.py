"""Inference beside its peers, taking turns in one process: engines alone, and from files to answers.

    python benchmarks/infer_speed.py --photos hymenoptera.tar [--only resnet50,slim,predict] [--threads 2] [--out FILE]

- resnet50: batch 16, 224 pixels, beside torchvision's network in eager fp32. int8 also beside OpenVINO's quickstart:
  the same graph through `compile_model` with its defaults, from prepared images, and from pixels in uint8 that NumPy
  prepares as OpenVINO's first notebooks do.
- slim: resnet152_v2_slim, batch 32, 224 pixels, beside Keras's ResNet152V2 and timm's resnetv2_152 in eager fp32.
  A ceiling is what the ratio to a peer would be if the network ran wholly at the rate of matrix products.
- predict: 2,000 JPEGs of different sizes, made from the photos of the archive, to answers of resnet50, engines opened
  before; beside torchvision's ImageFolder and transforms, torch's DataLoader and torchvision's network in eager fp32.

Weights are random and int8 is calibrated on noise: these are speeds alone. In each round every entry has one turn; a
ratio compares turns of one round. Each part ends when its time is over, after three rounds at the least.
"""

from __future__ import annotations

import argparse
import gc
import io
import itertools
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from machine import describe, write_result
from residua.anatomy import cost
from residua.bench.case import Case
from residua.bench.yardsticks import Yardstick
from residua.data.loader import default_workers
from residua.data.preprocess.arrays import normalised_array
from residua.exporting.ladders.calibration import Calibration
from residua.exporting.ladders.nncf import quantised_openvino
from residua.families.build import build
from residua.inference.image_files import BadFile, image_files
from residua.inference.predict import answered_batches
from residua.inference.stream import Predictor
from residua.runtime.engines.engine import open_engine
from residua.runtime.engines.int8 import Int8Form, keep_int8
from residua.runtime.engines.sessions import OpenVINOSession
from residua.runtime.graphs.fold import fold_batch_norm
from residua.runtime.graphs.openvino import to_openvino
from residua.runtime.graphs.program import example_images, export_program
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.weights.bundle.write import save_bundle
from residua.weights.open import load

SIZE = (3, 224, 224)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PHOTOS, PER_TURN = 2000, 500
SECONDS = {"resnet50": 75.0, "slim": 100.0, "predict": 110.0}
LEAST_ROUNDS, MOST_ROUNDS = 3, 25
Turn = Callable[[], Any]


def int8_graph(network: nn.Module) -> Any:
    """Return the OpenVINO model that the export's plain recipe for this processor gives, calibrated on noise."""
    program = export_program(fold_batch_norm(network, (2, *SIZE)).network, example_images(SIZE))
    noise = torch.randn(4, 1, *SIZE, generator=torch.Generator().manual_seed(2)).numpy()
    return next(quantised_openvino(to_openvino(program), Calibration(list(noise)), 0.003))[1]


def keep(network: nn.Module, graph: Any) -> None:
    """Put a form in int8 where the engine looks for it, as an export does that passed its gate."""
    openvino = __import__("openvino")
    with tempfile.TemporaryDirectory() as scratch:
        openvino.save_model(graph, Path(scratch, "model.xml"), compress_to_fp16=False)
        files = {name: Path(scratch, name).read_bytes() for name in ("model.xml", "model.bin")}
    keep_int8(network, "openvino", SIZE, Int8Form(files=files, sentence="noise", decided="passes"))


def engines(network: nn.Module, images: Tensor, precisions: Iterable[str]) -> dict[str, Turn]:
    """Return what computes one batch, by precision."""
    placed = images.contiguous(memory_format=torch.channels_last)
    turns: dict[str, Turn] = {}
    for precision in precisions:
        engine = open_engine(network, "openvino", precision=precision, device="cpu", shape=tuple(images.shape))  # type: ignore[arg-type]
        turns[precision] = lambda engine=engine: engine(placed)  # type: ignore[misc]
    return turns


def eager(network: nn.Module, images: Tensor) -> Turn:
    """Return what computes one batch in torch's default layout."""
    network.eval()

    @torch.inference_mode()
    def turn() -> Tensor:
        logits: Tensor = network(images)
        return logits

    return turn


def take_turns(turns: dict[str, Turn], seconds: float) -> dict[str, list[float]]:
    """Time the turns round by round, after one unmeasured round; the order is reversed from round to round."""
    for turn in turns.values():
        turn()
    times: dict[str, list[float]] = {name: [] for name in turns}
    start = time.perf_counter()
    for number in range(MOST_ROUNDS):
        if number >= LEAST_ROUNDS and time.perf_counter() - start > seconds:
            break
        for name in list(turns)[:: 1 if number % 2 else -1]:
            before = time.perf_counter()
            turns[name]()
            times[name].append(time.perf_counter() - before)
    return times


def ratio(times: dict[str, list[float]], peer: str, ours: str) -> dict[str, float]:
    """Return how many times as fast ours is: median, least and greatest over the rounds."""
    single = [theirs / own for theirs, own in zip(times[peer], times[ours], strict=True)]
    return {"median": statistics.median(single), "low": min(single), "high": max(single)}


def row(what: str, wanted: float, value: dict[str, float]) -> dict[str, Any]:
    """Return a line of the outcome."""
    return {"what": what, "wanted": wanted, **value, "holds": value["median"] >= wanted}


def measure_resnet50(seconds: float, precisions: list[str]) -> dict[str, Any]:
    """Time resnet50 at batch 16."""
    network = build(get_spec("resnet50")).eval()
    graph = int8_graph(network)
    keep(network, graph)
    images = torch.randn(16, *SIZE)
    turns = {"torchvision": eager(torchvision.models.resnet50(), images), **engines(network, images, precisions)}
    openvino = __import__("openvino")
    plain, planes = openvino.Core().compile_model(graph, "CPU"), images.numpy()
    turns["quickstart int8"] = lambda: plain(planes)
    pixels = np.random.default_rng(0).integers(0, 256, (16, *SIZE[1:], SIZE[0]), np.uint8)
    mean, std = np.float32(MEAN), np.float32(STD)
    turns["quickstart int8, pixels"] = lambda: plain(((np.float32(pixels) / 255 - mean) / std).transpose(0, 3, 1, 2))
    session, spec = (
        OpenVINOSession(graph, "fp32", torch.get_num_threads()),
        PreprocessSpec(224, 256, mean=MEAN, std=STD),
    )
    turns["int8, pixels"] = lambda: session(normalised_array(pixels, spec))
    yardstick = None
    if "bf16" in precisions:
        yardstick = Yardstick(Case("resnet50", "residua", "forward", "openvino", "bf16", 16, 224), torch.device("cpu"))
        turns["yardstick bf16"] = yardstick.measure
    times = take_turns(turns, seconds)
    wanted = {"fp32": 1.8, "bf16": 3.7, "int8": 7.0}
    rows = [
        row(f"resnet50, batch 16: {each} beside torchvision", wanted[each], ratio(times, "torchvision", each))
        for each in precisions
    ]
    rows += [
        row(
            f"resnet50, batch 16: int8 beside OpenVINO's quickstart{what}", 1.05, ratio(times, f"quickstart {own}", own)
        )
        for own, what in (("int8", ""), ("int8, pixels", ", from pixels"))
    ]
    if yardstick is not None:
        flops = 2 * 16 * cost(get_spec("resnet50")).macs
        shares = [flops / own / yardstick.rate for own in times["bf16"]]
        share = {"median": statistics.median(shares), "low": min(shares), "high": max(shares)}
        rows.append(row("resnet50, batch 16: bf16 as a share of the bf16 GEMM rate", 0.9, share))
    return {"rows": rows, "images_per_second": rates(times, 16), "gemm_bf16": yardstick.rate if yardstick else None}


def measure_slim(seconds: float, precisions: list[str]) -> dict[str, Any]:
    """Time resnet152_v2_slim at batch 32."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import timm

    from residua.verification.keras_peer import import_keras

    network = build(get_spec("resnet152_v2_slim")).eval()
    ours = [each for each in precisions if each != "fp32"]
    keep(network, int8_graph(network))
    images = torch.randn(32, *SIZE)
    turns = {"timm": eager(timm.create_model("resnetv2_152"), images), **engines(network, images, ours)}
    keras_network = import_keras().applications.ResNet152V2(weights=None)
    rows_last = images.permute(0, 2, 3, 1).contiguous().numpy()
    turns["keras"] = lambda: keras_network.predict_on_batch(rows_last)
    cases = {each: Case(network.spec.name, "residua", "forward", "openvino", each, 32, 224) for each in precisions}  # type: ignore[arg-type]
    yardsticks = {each: Yardstick(case, torch.device("cpu")) for each, case in cases.items()}
    turns |= {f"yardstick {each}": yardstick.measure for each, yardstick in yardsticks.items()}
    times = take_turns(turns, seconds)
    wanted = {"bf16": 3.5, "int8": 7.0}
    rows = [
        row(f"resnet152_v2_slim, batch 32: {each} beside {peer}", wanted[each], ratio(times, peer, each))
        for each, peer in itertools.product(ours, ("keras", "timm"))
    ]
    flops = 2 * 32 * cost(network.spec).macs
    ceilings = {
        f"{each} beside {peer}": yardstick.rate * statistics.median(times[peer]) / flops
        for peer, (each, yardstick) in itertools.product(("keras", "timm"), yardsticks.items())
    }
    products = {each: yardstick.rate for each, yardstick in yardsticks.items()}
    return {"rows": rows, "images_per_second": rates(times, 32), "gemm": products, "ceilings": ceilings}


def rates(times: dict[str, list[float]], images: int) -> dict[str, float]:
    """Return images per second from the medians; the yardstick has none."""
    return {name: images / statistics.median(own) for name, own in times.items() if "yardstick" not in name}


def write_photos(archive: Path, folder: Path) -> list[Path]:
    """Write 2,000 JPEGs in two class folders: the archive's photos, resized by up to a third and encoded again."""
    with tarfile.open(archive) as tar:
        names = sorted(member.name for member in tar.getmembers() if member.name.lower().endswith((".jpg", ".jpeg")))
        photos = [Image.open(io.BytesIO(tar.extractfile(name).read())).convert("RGB") for name in names]  # type: ignore[union-attr]
    random, files = np.random.default_rng(0), []
    for number in range(PHOTOS):
        photo = photos[number % len(photos)]
        scale = random.uniform(0.67, 1.33)
        size = (max(32, round(photo.width * scale)), max(32, round(photo.height * scale)))
        files.append(folder / "ab"[number % 2] / f"{number:04d}.jpg")
        files[-1].parent.mkdir(parents=True, exist_ok=True)
        photo.resize(size, Image.Resampling.BILINEAR).save(files[-1], quality=int(random.integers(75, 96)))
    return files


def measure_predict(seconds: float, precisions: list[str], archive: Path, threads: int) -> dict[str, Any]:
    """Time 500 photos of 2,000 per turn, from files to answers, until all had their turn or the time is over."""
    from torch.utils.data import DataLoader, Subset
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "photos")
        files = write_photos(archive, folder)
        spec = get_spec("resnet50")
        network = build(spec).eval()
        classes = [f"{number:04d}" for number in range(1000)]
        preprocess = PreprocessSpec(224, 256, mean=MEAN, std=STD)
        save_bundle(
            Path(scratch, "run"),
            tensors=network.state_dict(),
            spec=spec,
            classes=classes,
            preprocess=preprocess,
            metrics={},
            data={},
        )
        run = load(Path(scratch, "run"))
        keep(run.model, int8_graph(run.model))
        steps = [
            transforms.Resize(256),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
        dataset = ImageFolder(str(folder), transforms.Compose(steps))
        peer = torchvision.models.resnet50().eval()
        order = np.random.default_rng(1).permutation(PHOTOS).reshape(-1, PER_TURN)
        slices = itertools.cycle(order.tolist())
        current: list[int] = []

        @torch.inference_mode()
        def loop() -> None:
            for images, _ in loader:
                peer(images).softmax(1).topk(5)

        def ours(precision: str) -> None:
            chosen = [Path(dataset.samples[index][0]) for index in current]
            answers = [
                answer
                for batch in answered_batches(predictors[precision], image_files(chosen), 5, 32, default_workers())
                for answer in batch
            ]
            assert len(answers) == PER_TURN
            assert not any(isinstance(each, BadFile) for each in answers)

        predictors = {each: Predictor.open(run, device="cpu", engine="openvino", precision=each) for each in precisions}
        for predictor in predictors.values():
            predictor.answer([np.zeros((224, 224, 3), np.uint8)] * 32, 1)
        names = ["torchvision", *precisions]
        times: dict[str, list[float]] = {name: [] for name in names}
        start = time.perf_counter()
        for number in range(PHOTOS // PER_TURN):
            if number >= LEAST_ROUNDS and time.perf_counter() - start > seconds:
                break
            current[:] = next(slices)
            for name in names[:: 1 if number % 2 else -1]:
                if name == "torchvision":
                    loader = DataLoader(Subset(dataset, current), 32, num_workers=threads)
                before = time.perf_counter()
                loop() if name == "torchvision" else ours(name)
                times[name].append(time.perf_counter() - before)
    wanted = {"fp32": 1.0, "bf16": 3.0, "int8": 3.0}
    rows = [
        row(
            f"predict, photos to answers: {each} beside torchvision's loop",
            wanted[each],
            ratio(times, "torchvision", each),
        )
        for each in precisions
    ]
    return {"rows": rows, "images_per_second": rates(times, PER_TURN), "photos": len(files)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="the archive of photos, hymenoptera.tar")
    parser.add_argument("--only", default="resnet50,slim,predict", help="parts, separated by commas")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--share", type=float, default=1.0, help="of the time of each part; 0.2 for a short form")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/infer_speed.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    openvino = __import__("openvino")
    able = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precisions = ["fp32", *(["bf16"] if able else []), "int8"]
    result: dict[str, Any] = {"what": __doc__.splitlines()[0], "threads": arguments.threads, "parts": {}}
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["RESIDUA_CACHE"] = cache
        for part in arguments.only.split(","):
            seconds = SECONDS[part] * arguments.share
            if part == "predict":
                if arguments.photos is None:
                    parser.error("predict needs --photos")
                outcome = measure_predict(seconds, precisions, arguments.photos, arguments.threads)
            else:
                outcome = {"resnet50": measure_resnet50, "slim": measure_slim}[part](seconds, precisions)
            gc.collect()
            result["parts"][part] = outcome
            for what, ceiling in outcome.get("ceilings", {}).items():
                print(f"{f'{part}, at the rate of matrix products: {what}':62} {ceiling:6.2f}")
            for each in outcome["rows"]:
                verdict = "holds" if each["holds"] else "MISSES"
                spread = f"{each['low']:.2f} to {each['high']:.2f}"
                print(
                    f"{each['what']:62} {each['median']:6.2f} ({spread}), wanted {each['wanted']:.2f}: {verdict}",
                    flush=True,
                )
    result["load_before"], result["machine"] = load_before, describe()
    write_result(arguments.out, result)


if __name__ == "__main__":
    main()
