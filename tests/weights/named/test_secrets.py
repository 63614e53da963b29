"""What is secret in an address of weights reaches no file of a run and no message."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
import torch

from residua._base.errors import InputError
from residua.training.loop import train
from servers import serving
from weights.bundles import tiny_model, tiny_spec

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
