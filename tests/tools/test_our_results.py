"""Outcomes of ours: taken from committed files, with their own commit and versions."""

from __future__ import annotations

from typing import Any

from our_results import FOLDER, JPEG, ROOT, collect, dataset_of, from_converted, from_study, read_outcomes

from residua.specs.catalog import get_spec

_STUDY: dict[str, Any] = {
    "study": "degradation",
    "form": "quick",
    "data": {"given": "cifar10-jpeg", "counts": {"train": 50_000}},
    "recipe": {"train_images": 5000, "epochs": 2},
    "versions": {"residua": "0.1.0", "torch": "2.14.1", "processor": "P", "date": "2026-01-01"},
    "arms": [
        {"arm": "residual 20", "network": "cifar_resnet20"},
        {"arm": "edited", "network": "cifar_resnet20, shortcut=conv"},
    ],
    "results": [
        *(
            {"arm": "residual 20", "seed": seed, "test_error": error, "test_count": 1000, "minutes": 1.5}
            | {"history": [{"epoch": 1}, {"epoch": 2}]}
            for seed, error in ((0, 0.25), (1, 0.27))
        ),
        {"arm": "edited", "seed": 0, "test_error": 0.3, "test_count": 1000, "minutes": 1.0, "history": [{"epoch": 2}]},
    ],
}


def test_what_is_committed_is_what_the_tool_makes() -> None:
    found = collect(ROOT)
    written = sorted(path.stem for path in (ROOT / FOLDER).glob("*.json"))
    assert sorted(found) == written, "an outcome came or went: make ledger-page"
    assert read_outcomes(ROOT / FOLDER) == [found[name] for name in sorted(found)]
    for outcome in found.values():
        assert get_spec(outcome.network).name == outcome.network
        assert (ROOT / outcome.source).is_file()


def test_a_study_gives_its_unedited_networks() -> None:
    ((name, found),) = from_study(_STUDY, "docs/studies/degradation/study.json").items()
    assert name == "cifar_resnet20"
    assert (found.network, found.dataset, found.values, found.seeds) == ("cifar_resnet20", JPEG, (25.0, 27.0), (0, 1))
    assert (found.train_images, found.epochs, found.minutes) == (5000, 2, (1.5, 1.5))
    assert found.commit is None  # never today's
    assert found.versions == {"residua": "0.1.0", "torch": "2.14.1"}


def test_a_full_study_trains_on_every_image() -> None:
    (found,) = from_study(_STUDY | {"recipe": {"train_images": 0}}, "study.json").values()
    assert found.train_images is None


def test_arms_of_one_network_are_distinguished() -> None:
    names = ["plain 20, 30 steps", "plain 20, 300 steps"]
    arms = [{"arm": name, "network": "cifar_plain20"} for name in names]
    errors = zip(names, (0.9, 0.4), strict=True)
    results = [_STUDY["results"][0] | {"arm": name, "test_error": error} for name, error in errors]
    found = from_study(_STUDY | {"arms": arms, "results": results}, "study.json")
    assert {name: each.values for name, each in found.items()} == {
        "cifar_plain20-plain-20-30-steps": (90.0,),
        "cifar_plain20-plain-20-300-steps": (40.0,),
    }


def test_a_study_of_weights_that_were_there_trains_nothing() -> None:
    results = [result | {"history": []} for result in _STUDY["results"]]
    assert from_study(_STUDY | {"results": results, "recipe": None}, "study.json") == {}


def test_a_converted_checkpoint_has_no_seeds() -> None:
    document = {
        "model": "cifar_resnet20",
        "images": 10_000,
        "right": 8103,
        "converted": {"file": "pytorch_resnet_cifar10-resnet20.th"},
        "versions": {"torch": "2.14.1", "python": "3.11.7", "system": "Linux"},
    }
    found = from_converted(document, "docs/proofs/converted_accuracy.json")
    assert found.values == (18.97,)
    assert found.seeds == found.minutes == ()
    assert "pytorch_resnet_cifar10" in found.recipe


def test_data_sets() -> None:
    assert dataset_of("cifar10") == "CIFAR-10 test"
    assert dataset_of("cifar10-jpeg") == dataset_of("CIFAR-10-JPG") == JPEG
    assert dataset_of("cifar100-jpeg") == "cifar100-jpeg"
    assert dataset_of("digits") == "digits"
