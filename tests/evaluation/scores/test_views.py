"""Views: 10-crop is torchvision's, multi-scale lays the network over the whole image, what cannot be is refused."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import functional as tv

from evaluation.runs import colour_folder, colour_run
from residua._base.errors import InputError
from residua.data.dataset import Split
from residua.data.image_source import ArrayImages, FileImages
from residua.data.preprocess.normalise import normalise
from residua.data.preprocess.resize import resized_uint8, ten_crops_uint8
from residua.evaluation.evaluate import evaluate
from residua.evaluation.measures.metrics import NotFinite
from residua.evaluation.scores.options import ScoreOptions
from residua.evaluation.scores.scores import collect, combined
from residua.evaluation.scores.views import check_views, parse_views, sides, unsure
from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec

ON_CPU = ScoreOptions(device="cpu")
SPEC = PreprocessSpec(image_size=16, resize=21, interpolation="bicubic")
SHAPES = ((30, 47), (47, 30), (21, 21), (40, 40), (21, 26), (33, 21))


def picture(shape: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def photos(folder: Path) -> Split:
    """Photos of differing shapes, as lossless files."""
    files = []
    folder.mkdir(exist_ok=True)
    for index, shape in enumerate(SHAPES):
        files.append(folder / f"{index}.png")
        Image.fromarray(picture(shape, index)).save(files[-1])
    return Split("test", np.arange(len(files)) % 3, FileImages(files))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(1)
    return build(get_spec("cifar_resnet8", num_classes=3, input_size=16)).eval()


def probabilities(network: nn.Module, views: list[Tensor]) -> Tensor:
    with torch.inference_mode():
        return torch.stack([network(view[None])[0].double().softmax(0) for view in views]).mean(0)


def to_input(image: Image.Image) -> Tensor:
    return tv.normalize(tv.to_tensor(image), SPEC.mean, SPEC.std)


@pytest.mark.parametrize("shape", SHAPES)
def test_ten_crops_are_torchvisions(shape: tuple[int, int]) -> None:
    image = Image.fromarray(picture(shape, 3))
    resized = tv.resize(image, SPEC.resize, tv.InterpolationMode.BICUBIC)
    crops = ten_crops_uint8(np.asarray(image), SPEC)
    ours = [crops[place] for place in range(5)] + [crops[place][:, ::-1] for place in (0, 1, 2, 3, 5)]
    theirs = [np.asarray(crop) for crop in tv.ten_crop(resized, SPEC.image_size)]
    assert {crop.tobytes() for crop in ours} == {crop.tobytes() for crop in theirs}
    assert len({crop.tobytes() for crop in theirs}) == 10


def test_ten_crop_is_torchvisions_pipeline(tmp_path: Path, network: nn.Module) -> None:
    split = photos(tmp_path / "photos")
    ours = collect(network, split, SPEC, ScoreOptions(batch_size=4, device="cpu"), views="10crop", num_classes=3)
    for index, file in enumerate(split.images.files):
        resized = tv.resize(Image.open(file), SPEC.resize, tv.InterpolationMode.BICUBIC)
        wanted = probabilities(network, [to_input(crop) for crop in tv.ten_crop(resized, SPEC.image_size)])
        assert torch.allclose(ours.logits[index].softmax(0), wanted, atol=1e-6)
    assert ours.indices.tolist() == list(range(len(split)))


def test_flip_and_multiscale(tmp_path: Path, network: nn.Module) -> None:
    split = photos(tmp_path / "photos")
    flip, scales = (
        collect(network, split, SPEC, ScoreOptions(batch_size=100, device="cpu"), views=views, num_classes=3)
        for views in ("flip", "multiscale")
    )
    for index, file in enumerate(split.images.files):
        image = Image.open(file)
        centre = to_input(tv.center_crop(tv.resize(image, SPEC.resize, tv.InterpolationMode.BICUBIC), [16, 16]))
        wanted = probabilities(network, [centre, centre.flip(2)])
        assert torch.allclose(flip.logits[index].softmax(0), wanted, atol=1e-6)
        whole = [to_input(tv.resize(image, side, tv.InterpolationMode.BICUBIC)) for side in (16, 18, 27, 34, 46)]
        wanted = probabilities(network, [view for scale in whole for view in (scale, scale.flip(2))])
        assert torch.allclose(scales.logits[index].softmax(0), wanted, atol=1e-6)


def test_mirror_images_count_where_the_network_is_unsure(tmp_path: Path, network: nn.Module) -> None:
    split, calls = photos(tmp_path / "photos"), []
    options = ScoreOptions(batch_size=4, device="cpu")

    class Scaled(nn.Module):
        """The network with logits so large that it is sure of some images."""

        def forward(self, x: Tensor) -> Tensor:
            calls.append(len(x))
            return 12 * network(x)

    model = Scaled().eval()
    one, both = (collect(model, split, SPEC, options, views=views, num_classes=3) for views in ("1", "flip"))
    calls.clear()
    gated = collect(model, split, SPEC, options, views="flip_if_unsure", num_classes=3)
    sure = one.logits.double().softmax(1).amax(1) >= 0.9
    assert 0 < sure.sum() < len(split)
    wanted = torch.where(sure[:, None], one.logits.double().softmax(1), both.logits.softmax(1))
    assert torch.allclose(gated.logits.softmax(1), wanted, atol=1e-6)
    assert sum(calls) == len(split) + int((~sure).sum())  # nothing is computed that does not count


def test_of_several_labels_every_one_must_be_clear() -> None:
    clear = torch.tensor([[9.0, -9.0], [9.0, 0.5], [-9.0, -9.0]])
    assert unsure(clear, multilabel=True).tolist() == [False, True, False]


@pytest.mark.parametrize("views", ["10crop", "multiscale"])
def test_the_batch_size_changes_nothing(tmp_path: Path, network: nn.Module, views: str) -> None:
    split = photos(tmp_path / "photos")
    one, many = (
        collect(network, split, SPEC, ScoreOptions(batch_size=size, device="cpu"), views=views, num_classes=3)
        for size in (1, 50)
    )
    assert torch.allclose(one.logits, many.logits, atol=1e-5)
    assert one.labels.tolist() == many.labels.tolist() == split.labels.tolist()


def test_a_list_averages_its_sets(tmp_path: Path) -> None:
    run, data = colour_run(tmp_path / "run"), colour_folder(tmp_path / "data", [("red", "blue")], count=2)
    report = evaluate(run, data, views="1, 10crop,multiscale")
    assert (report.views, report.count, report.top1) == ("1,10crop,multiscale", 7, 6 / 7)
    assert any("ten crops are two views" in note for note in report.remarks)
    assert report.calibrated is None


def test_averages_do_not_underflow() -> None:
    class Sure(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.tensor([[4000.0, 0.0]]).repeat(len(x), 1)

    split = Split("test", np.array([1, 1]), ArrayImages(np.zeros((2, 16, 16, 3), np.uint8)))
    scores = collect(Sure(), split, SPEC, ON_CPU, views="10crop", num_classes=2)
    assert scores.tally.loss() == pytest.approx(4000)
    assert combined([scores, scores], [0.0, 1.0]).tally.loss() == pytest.approx(4000)


def test_scores_that_are_not_finite_are_refused() -> None:
    class Bad(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.full((len(x), 2), float("nan"))

    split = Split("test", np.array([1, 1]), ArrayImages(np.zeros((2, 16, 16, 3), np.uint8)))
    for views in ("1", "10crop"):
        with pytest.raises(NotFinite, match="2 of 2 images"):
            collect(Bad(), split, SPEC, ON_CPU, views=views, num_classes=2)


def test_bad_files(tmp_path: Path, network: nn.Module) -> None:
    split = photos(tmp_path / "photos")
    split.images.files[2].write_text("no picture")
    with pytest.raises(InputError, match=r"2\.png"):
        collect(network, split, SPEC, ON_CPU, views="10crop", num_classes=3)
    scores = collect(network, split, SPEC, ON_CPU, views="10crop", num_classes=3, on_bad="skip")
    assert scores.indices.tolist() == [0, 1, 3, 4, 5]
    assert list(scores.skipped) == [2]


def test_sides_follow_the_network() -> None:
    assert sides(224) == (224, 256, 384, 480, 640)
    assert sides(32) == (32, 37, 55, 69, 91)


@pytest.mark.parametrize(
    ("name", "said"),
    [("vgg11", "a grid of 7 × 7"), ("alexnet", "a grid of 6 × 6"), ("highway_mlp10", "exactly 28 pixels")],
)
def test_multiscale_needs_a_global_pool(name: str, said: str) -> None:
    spec = get_spec(name)
    size = spec.input_size
    with pytest.raises(InputError, match=said):
        check_views(("multiscale",), spec, PreprocessSpec(size, size))
    check_views(("10crop", "flip"), spec, PreprocessSpec(size, size))


def test_networks_that_end_in_a_global_pool_take_multiscale() -> None:
    for name in ("cifar_resnet8", "googlenet", "cifar_nin"):
        spec = get_spec(name)
        check_views(("multiscale",), spec, PreprocessSpec(spec.input_size, spec.input_size))
        network = build(spec).eval()
        for side in sides(spec.input_size)[:3]:
            with torch.inference_mode():
                assert network(torch.zeros(1, 3, side, side)).shape == (1, spec.num_classes)


@pytest.mark.parametrize("text", ["", "2", "10crop,", "flip,flip", "10crops"])
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="views"):
        parse_views(text)


def test_a_panorama_is_not_enlarged_as_a_whole() -> None:
    tall = resized_uint8(np.zeros((30_000, 2, 3), np.uint8), 20, "bilinear")
    assert tall.shape == (160, 20, 3)
    assert ten_crops_uint8(np.zeros((2, 30_000, 3), np.uint8), SPEC).shape == (6, 16, 16, 3)


@pytest.mark.slow
def test_ten_crops_cost_ten_and_a_half_single_ones() -> None:
    """With a network whose forward pass outweighs reading an image, as every network of 224 pixels does."""
    network = build(get_spec("cifar_resnet20", num_classes=3)).eval()
    preprocess = PreprocessSpec(32, 37)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 37, 37, 3), np.uint8)
    split = Split("test", np.zeros(24, np.int64), ArrayImages(pixels))
    ratios = []
    for _ in range(3):
        seconds = []
        for views in ("1", "10crop"):
            start = time.process_time()
            collect(network, split, preprocess, ScoreOptions(batch_size=24, device="cpu"), views=views, num_classes=3)
            seconds.append(time.process_time() - start)
        ratios.append(seconds[1] / seconds[0])
    assert min(ratios) <= 10.5, ratios


def test_normalised_views_are_what_the_loader_gives() -> None:
    image = picture((21, 21), 0)
    batch = torch.from_numpy(image).permute(2, 0, 1)[None]
    assert torch.allclose(normalise(batch, SPEC)[0], to_input(Image.fromarray(image)), atol=1e-6)
