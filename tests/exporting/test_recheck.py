"""An export proven again, and altered files refused."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from exporting.runs import digits_run
from residua._base.errors import Damaged, InputError
from residua.exporting.certificate import hashed
from residua.exporting.export import export
from residua.exporting.formats import open_graph
from residua.exporting.names import CERTIFICATE, GOLDEN
from residua.exporting.reading.stored import signature
from residua.exporting.recheck import check_export


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits_run(tmp_path_factory.mktemp("recheck") / "run")


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(run, format="torch", out=tmp_path_factory.mktemp("recheck") / "out").folder


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copied"))


def test_an_export_is_proven_again_without_its_run_and_with_it(copied: Path, run: Path) -> None:
    alone = check_export(copied)
    assert alone.verdict.answer == "passes"
    assert [row.images for row in alone.rows] == ["golden"] * 4
    whole = check_export(copied, run)
    assert whole.rows[-1].images == "val of digits"
    assert whole.rows[-1].agreement == 1
    assert whole.to_dict()["verdict"]["answer"] == "passes"


@pytest.mark.parametrize("name", ["model.pt2", GOLDEN, "certificate.html"])
def test_an_altered_file_is_refused(name: str, copied: Path) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(Damaged, match=f"{name}.*altered"):
        check_export(copied)
    (copied / name).unlink()
    with pytest.raises(Damaged, match="no such file"):
        check_export(copied)


def test_an_altered_certificate_is_refused(copied: Path) -> None:
    text = (copied / CERTIFICATE).read_text()
    (copied / CERTIFICATE).write_text(text.replace('"agreement": 1.0', '"agreement": 0.9', 1))
    with pytest.raises(Damaged, match="altered"):
        check_export(copied)
    (copied / CERTIFICATE).write_text(text[: len(text) // 2])
    with pytest.raises(Damaged, match="no JSON"):
        check_export(copied)


def test_a_certificate_reaches_no_file_outside(copied: Path) -> None:
    (copied.parent / "secret").write_text("x")
    document = json.loads((copied / CERTIFICATE).read_text())
    document.pop("sha256")
    document["files"]["../secret"] = {"sha256": "0", "bytes": 1}
    (copied / CERTIFICATE).write_text(json.dumps(document | {"sha256": signature(document)}))
    with pytest.raises(Damaged, match="no such file"):
        check_export(copied)


def test_another_run_is_refused(copied: Path, tmp_path: Path) -> None:
    other = digits_run(tmp_path / "other", "cifar_resnet14")
    with pytest.raises(InputError, match="the run that was exported, run"):
        check_export(copied, other)


def test_a_folder_without_an_export_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match=r"holds no certificate.json"):
            check_export(folder)


def test_an_archive_with_a_pickle_is_not_opened(copied: Path) -> None:
    """A certificate can be written by anybody: the file itself must not run code either."""
    path = copied / "model.pt2"
    archive = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(archive, "w") as new:
        for entry in old.infolist():
            new.writestr(entry, old.read(entry))
        new.writestr("model/data/constants/opaque_obj_0", b"cos\nsystem\n(S'false'\ntR.")
    path.write_bytes(archive.getvalue())
    _sign_again(copied)
    with pytest.raises(Damaged, match="opaque_obj_0, which torch would unpickle"):
        check_export(copied)


def test_sample_inputs_that_are_no_tensors_are_not_opened(copied: Path) -> None:
    path = copied / "model.pt2"
    archive, inputs = io.BytesIO(), io.BytesIO()
    torch.save({"a": print}, inputs)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(archive, "w") as new:
        for entry in old.infolist():
            own = entry.filename.endswith("sample_inputs/model.pt")
            new.writestr(entry, inputs.getvalue() if own else old.read(entry))
    path.write_bytes(archive.getvalue())
    with pytest.raises(Damaged, match="more than tensors"):
        open_graph("torch", copied, "fp32")


@pytest.mark.parametrize(
    ("location", "error", "words"),
    [("../weights.bin", InputError, "weights in '../weights.bin'"), ("weights.bin", Damaged, "does not name it")],
)
def test_weights_that_the_certificate_does_not_name_are_not_opened(
    location: str, error: type[Exception], words: str, run: Path, tmp_path: Path
) -> None:
    """A stranger signs a certificate of their own for a file that reads another."""
    onnx = pytest.importorskip("onnx")
    out = export(run, format="onnx", out=tmp_path / "out", golden_only=True).folder
    model = onnx.load(out / "model.onnx")
    tensor = model.graph.initializer[0]
    weights = onnx.numpy_helper.to_array(tensor).tobytes()
    for field in ("raw_data", "float_data"):
        tensor.ClearField(field)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    (out / "model.onnx").write_bytes(model.SerializeToString())
    _sign_again(out)
    (out / location).write_bytes(weights)
    with pytest.raises(error, match=words):
        check_export(out)


def test_a_graph_that_its_runtime_does_not_open_is_named(copied: Path) -> None:
    (copied / "model.pt2").write_bytes(b"PK\x05\x06" + bytes(18))  # an archive without entries
    _sign_again(copied)
    with pytest.raises(Damaged, match=r"model\.pt2.*its runtime cannot open it"):
        check_export(copied)


def test_a_certificate_that_states_another_form_is_named(copied: Path) -> None:
    document = json.loads((copied / CERTIFICATE).read_text())
    document.pop("sha256")
    document["with_preprocessing"] = True
    (copied / CERTIFICATE).write_text(json.dumps(document | {"sha256": signature(document)}))
    with pytest.raises(Damaged, match="the graph does not run as it states"):
        check_export(copied)


def _sign_again(folder: Path) -> None:
    document = json.loads((folder / CERTIFICATE).read_text())
    document.pop("sha256")
    document["files"] = hashed(folder)
    (folder / CERTIFICATE).write_text(json.dumps(document | {"sha256": signature(document)}))
