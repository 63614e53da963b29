"""What is secret in an address of weights reaches no file of a run and no message."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
import torch

from residua._base.errors import InputError
from residua.cli.app import main
from residua.training.loop import train
from residua.weights.open import load
from servers import serving
from weights.bundles import save_tiny, tiny_model, tiny_spec

SECRET = "s3cret"


def test_a_signed_address_leaves_no_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESIDUA_CACHE", str(tmp_path / "cache"))
    for name in ("RESIDUA_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    stream = io.BytesIO()
    torch.save(tiny_model().state_dict(), stream)
    content = stream.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    with serving(files={"/w.pth": content}) as server:
        host = server.address.removeprefix("http://")
        address = f"http://user:{SECRET}@{host}/w.pth?X-Amz-Signature={SECRET}#sha256={digest}"
        fields = {"epochs": 1, "max_steps": 2, "min_steps": 1, "kernels": "eager"}
        run = train("digits", tiny_spec(input_size=8), out=tmp_path / "run", weights=address, **fields)  # type: ignore[arg-type]
        assert run.initial_weights is not None
        assert run.initial_weights["given"] == f"http://{host}/w.pth#sha256={digest}"
        # The record names the file well enough to find it in the cache.
        resumed = train("digits", tiny_spec(input_size=8), out=tmp_path / "run", resume=True, **fields)  # type: ignore[arg-type]
        assert resumed.weights_sha256 == run.weights_sha256
        with pytest.raises(InputError) as error:
            train("digits", tiny_spec(input_size=8), out=tmp_path / "other", weights=address.replace("w.pth", "v.pth"))
    shown = capfd.readouterr()
    assert SECRET not in str(error.value) + shown.out + shown.err
    held = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    held += [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert held
    assert not [path for path in held if SECRET.encode() in path.read_bytes() or SECRET in str(path)]


@pytest.mark.parametrize("address", [f"ftp://a:{SECRET}@host/x?{SECRET}", f"https://a:{SECRET}@host/x?sig={SECRET}"])
@pytest.mark.parametrize(
    "words",
    [
        "train digits --out o --weights ADDRESS",
        "train ADDRESS --out o",
        "train digits --out o --recipe ADDRESS",
        "convert ADDRESS --model resnet18 --out o",
        "convert ADDRESS --to timm --out o.pth",
        "convert FILE --model resnet18 --out o --classes ADDRESS",
        "predict ADDRESS x.png",
        "evaluate ADDRESS digits",
        "check ADDRESS",
        "explain ADDRESS x.png",
        "inspect ADDRESS",
        "verify ADDRESS",
        "study ADDRESS digits",
        "train digits --out ADDRESS",
    ],
)
def test_an_address_is_refused_without_its_secrets(
    words: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(tiny_model().state_dict(), "w.pth")
    given = [{"ADDRESS": address, "FILE": "w.pth"}.get(word, word) for word in words.split()]
    assert main(given) == 2
    shown = "".join(capfd.readouterr())
    assert SECRET not in shown
    assert f"{address.partition(':')[0]}://host/x" in shown
    assert "Wanted: " in shown


@pytest.mark.parametrize("address", [f"ftp://a:{SECRET}@host/x?{SECRET}", f"https://a:{SECRET}@host/x?sig={SECRET}"])
def test_an_address_among_the_pictures_is_named_without_its_secrets(
    address: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = str(save_tiny(tmp_path / "run"))
    assert main(["predict", folder, address]) == 2
    shown = "".join(capfd.readouterr())
    assert SECRET not in shown
    assert f"{address.partition(':')[0]}://host/x" in shown


def test_a_short_hash_is_shown_once() -> None:
    with pytest.raises(InputError) as error:
        load("https://host/w.pth#sha256=0000", "resnet18")
    assert error.value.given == "https://host/w.pth#sha256=0000"
    with pytest.raises(InputError) as error:
        load(f"https://host/w.pth#{SECRET}", "resnet18")
    assert error.value.given == "https://host/w.pth#…"
