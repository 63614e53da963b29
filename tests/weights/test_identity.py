"""Which network weights are of: one decision per opening, and one verdict on a peer's network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from residua._base.errors import InputError
from residua.families.build import build
from residua.specs.catalog import get_spec
from residua.specs.schema import Spec
from residua.training.initial_weights import find_initial
from residua.weights.create import create_model
from residua.weights.identity import Identity, Target, counterpart, identify
from residua.weights.named import resolve as resolving
from residua.weights.open import load
from weights.bundles import save_tiny, tiny_spec


def test_a_name_follows_its_weights_and_a_spec_does_not() -> None:
    theirs = get_spec("cifar_resnet8", shortcut="pad_both", num_classes=7)
    found = identify("w", theirs, Target.of("cifar_resnet8", num_classes=5))
    assert found.form == {"shortcut": "pad_both"}
    assert found.network == get_spec("cifar_resnet8", shortcut="pad_both", num_classes=5)
    assert found.opened == theirs
    with pytest.raises(InputError, match="w holds a cifar_resnet8 for a cifar_resnet8, which differs: shortcut"):
        identify("w", theirs, Target.of(get_spec("cifar_resnet8")))
    with pytest.raises(InputError, match="Build cifar_resnet8 with shortcut='pad_both'"):
        identify("w", theirs, Target.of("cifar_resnet8", shortcut="pad"))


def test_opened_weights_keep_their_ends_at_the_density_wanted() -> None:
    theirs = tiny_spec(num_classes=3)
    wanted = tiny_spec(num_classes=9, output_stride=2, head_dropout=0.5)
    assert Identity("w", theirs, Target.of(wanted)).opened == theirs.edit(output_stride=2)
    assert Identity("w", theirs.edit(output_stride=2), Target.of("cifar_resnet8")).opened.output_stride == 2
    assert Identity("w", theirs).opened == Identity("w", theirs).network == theirs


def test_only_the_network_decided_on_is_filled() -> None:
    found = identify("w", tiny_spec(shortcut="pad_both"), Target.of(tiny_spec(shortcut="pad_both", num_classes=5)))
    found.require(tiny_spec(shortcut="pad_both", num_classes=5))
    with pytest.raises(InputError, match="shortcut 'pad_both' there, 'pad' here"):
        found.require(tiny_spec(num_classes=5))


def test_each_opening_decides_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decided: list[Spec] = []

    def counted(given: str, theirs: Spec, target: Target | None) -> Identity:
        decided.append(theirs)
        return identify(given, theirs, target)

    save_tiny(tmp_path / "run")
    torch.save(build(get_spec("resnet18")).state_dict(), tmp_path / "pytorch_model.bin")
    config: dict[str, Any] = {"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, 224, 224]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(resolving, "identify", counted)
    spec = tiny_spec()
    for opening in (
        lambda: create_model("cifar_resnet8", num_classes=3, weights=tmp_path / "run"),
        lambda: load(tmp_path / "run", "cifar_resnet8"),
        lambda: find_initial(tmp_path / "run", Target.of("cifar_resnet8")),
    ):
        decided.clear()
        opening()
        assert decided == [spec]
    decided.clear()
    create_model("resnet18", num_classes=5, weights=tmp_path)
    assert [each.name for each in decided] == ["resnet18"]


def test_what_a_config_states_is_believed_before_what_is_wanted(tmp_path: Path) -> None:
    """The two resnet50 have the same tensors and compute different things."""
    torch.save(build(get_spec("resnet50")).state_dict(), tmp_path / "pytorch_model.bin")
    config: dict[str, Any] = {"architecture": "resnet50", "pretrained_cfg": {"input_size": [3, 224, 224]}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"holds a resnet50 for a resnet50_v1.*stride_site"):
        create_model("resnet50_v1", weights=tmp_path)
    run = load(tmp_path, get_spec("resnet50", output_stride=8))
    assert run.spec == get_spec("resnet50", output_stride=8)


def test_a_counterpart_is_a_verdict_in_three_degrees() -> None:
    plain = counterpart(get_spec("resnet18"), "timm")
    assert plain.same is plain.same_state is plain.peer_network is not None
    renamed = counterpart(get_spec("resnet18_v2"), "timm")
    assert renamed.same is renamed.peer_network is not None
    assert renamed.same_state is None
    edited = counterpart(get_spec("resnet18", bn_eps=1e-3), "timm")
    assert (edited.same, edited.departures) == (None, {"bn_eps": (1e-3, 1e-5)})
    assert edited.sentence == "bn_eps=0.001 (there 1e-05)"
    assert counterpart(get_spec("googlenet"), "timm").peer_network is None
    dense = get_spec("resnet18", output_stride=8)
    assert counterpart(dense, "timm").departures == {"output_stride": (8, 0)}
    assert not counterpart(dense, "timm", loading=True).departures
