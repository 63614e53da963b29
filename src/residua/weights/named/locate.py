"""A name of weights -> a file on this machine, fetched and hash-checked, with what its publisher states of it."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import re
import urllib.parse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residua._base.errors import InputError, did_you_mean
from residua._base.files import check_name, sha256_file
from residua._base.public import is_address, public_address
from residua._base.run_files import CONFIG_FILE, MODEL_FILE
from residua._base.web.download import RemoteFile
from residua._base.words import some
from residua.specs.catalog import get_spec
from residua.specs.preprocess import PreprocessSpec
from residua.specs.schema import Spec
from residua.weights.bundle.signed import is_bundle
from residua.weights.files.hub_config import preprocess_of
from residua.weights.files.processor_config import PROCESSOR_FILE
from residua.weights.files.tf_checkpoint import checkpoint_files
from residua.weights.identity import counterpart
from residua.weights.named.hub import Repository, fetch_to_cache
from residua.weights.named.published_file import fetch_published
from residua.weights.peers.same_network import PEER_NETWORKS, PeerNetwork
from residua.weights.published.catalog import weights_of

_PICKLED = "pytorch_model.bin"
HUB_FILES = (MODEL_FILE, _PICKLED)  # in the order of preference
# torch.hub's convention: the first digits of the SHA-256 end the name.
_HASHED_NAME = re.compile(r"-([0-9a-f]{8,64})\.[^/.]+$")
_FORMS = "torchvision:WEIGHTS, timm:TAG, hf://ORG/REPO, https://…#sha256=…, a file, or a run folder"


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights on this machine.

    Attributes:
        name: what was asked for; a path is made absolute, an address loses what may be secret (`public_address`).
        path: of the file.
        sha256: of the file.
        source: whose names it has, where that is known: "torchvision", "timm".
        preprocess: the evaluation transform, where the publisher states it.
        classes: the names of the outputs, where the publisher states them.
        config: the config.json that came with it.
        processor: the preprocessor_config.json that came with it.
    """

    name: str
    path: Path
    sha256: str
    source: str | None = None
    preprocess: PreprocessSpec | None = None
    classes: tuple[str, ...] = ()
    config: Path | None = None
    processor: Path | None = None


def is_remote(name: str | Path) -> bool:
    """Return whether a name of weights is anything but a path."""
    return isinstance(name, str) and bool(re.match(r"(torchvision|timm):|hf://|(?i:https?://)", name))


def hub_name(name: Path | str) -> Path | str:
    """Return `name`, as hf://ORG/REPO when it reads ORG/REPO and is no folder here."""
    text = str(name)
    return f"hf://{text}" if re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", text) and not Path(name).exists() else name


def locate(name: str | Path, spec: Spec | None = None) -> WeightsFile:
    """Find weights by name, and fetch those that are not on this machine.

    Args:
        name: "torchvision:IMAGENET1K_V2" or "timm:TAG", both also with DEFAULT; "hf://ORG/REPO" with or without
            "@REVISION"; "https://…" that ends in "#sha256=HEX", or whose file name ends in the hash (torch.hub's
            convention); a file; a folder with model.safetensors or pytorch_model.bin.
        spec: the network that they are for; torchvision's and timm's weights cannot be found without.

    Raises:
        InputError: a name that nobody knows (the nearest is named); a network that the peer does not have; an address
            without a hash; whatever `fetch` raises; no such path.
    """
    check_name("weights", name)
    text = str(name)
    if not is_remote(name):
        if is_address(name):
            raise InputError(
                f"{public_address(text)}, which is no address of http or https as text",
                f"weights: {_FORMS}",
                "Give an https address as text, or download the file and give its path",
            )
        return _from_path(Path(name))
    if text.startswith("hf://"):
        return _from_hub(text, text.removeprefix("hf://"))
    if re.match("(?i:https?://)", text):
        return _from_address(text)
    peer, _, tag = text.partition(":")
    if spec is None:
        raise InputError(
            f"{text} without a network",
            "the network that they are for",
            f"Name it: model={next(iter(PEER_NETWORKS[peer]))!r}",
        )
    peer_network = _peer_network(text, peer, spec)
    return (_from_torchvision if peer == "torchvision" else _from_timm)(text, tag, peer_network, spec)


def _from_path(path: Path) -> WeightsFile:
    if path.is_dir():
        file = next((path / name for name in HUB_FILES if (path / name).is_file()), None)
        if file is None:
            raise InputError(
                f"{path} holds neither {' nor '.join(HUB_FILES)}",
                "a run folder, or a folder in the Hub's layout",
                "Check the path; a run that is still training has only checkpoints",
            )
        config, processor = (each if each.is_file() else None for each in (path / CONFIG_FILE, path / PROCESSOR_FILE))
        return WeightsFile(str(path.resolve()), file, sha256_file(file), config=config, processor=processor)
    if not path.is_file() and not checkpoint_files(path):
        raise InputError(f"{path} does not exist", f"weights: {_FORMS}", _perhaps(str(path)))
    return WeightsFile(str(path.resolve()), path, sha256_weights(path))


def sha256_weights(path: Path) -> str:
    """Return the SHA-256 of a file of weights; of a TensorFlow checkpoint, that of its files' digests in a row.

    It is the same by whatever name the checkpoint is given, and a `.meta` is no part of it: that holds no weights.
    """
    digests = [sha256_file(part) for part in checkpoint_files(path) or (path,)]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _perhaps(text: str) -> str:
    """Return what a path that does not exist may have been meant for."""
    if re.fullmatch(r"\w+", text):
        return f"Did you mean torchvision:{text} or timm:{text}?"
    return f"Did you mean hf://{text}?" if re.fullmatch(r"\w[\w-]*/\w[\w-]*", text) else "Check the path"


def _from_hub(address: str, name: str) -> WeightsFile:
    repository = Repository(name)
    config = repository.fetch(CONFIG_FILE)
    for file in HUB_FILES:
        if path := repository.fetch(file):
            processor = None if is_bundle(path) else repository.fetch(PROCESSOR_FILE)
            return WeightsFile(address, path, sha256_file(path), config=config, processor=processor)
    raise InputError(
        f"{address} holds neither {' nor '.join(HUB_FILES)}",
        "one file of weights of a network that Residua has",
        "Check the repository, or give the address of its file of weights with #sha256=…",
    )


def _from_address(address: str) -> WeightsFile:
    public = public_address(address)
    url, _, fragment = address.partition("#")
    try:
        name = urllib.parse.unquote(urllib.parse.urlsplit(url).path)
    except ValueError as error:
        raise InputError(
            f"{public}, which is no address ({error})", "https://HOST/FILE", "Check the address"
        ) from error
    hashed = _HASHED_NAME.search(name)
    digest = fragment.removeprefix("sha256=").lower() if fragment.startswith("sha256=") else ""
    if fragment and not re.fullmatch("[0-9a-f]{64}", digest):
        shown = public if "#" in public else f"{public}#…"
        raise InputError(shown, "#sha256= and 64 hexadecimal digits", "`sha256sum FILE` prints them")
    if not digest and not hashed:
        raise InputError(
            f"{public}, an address without a hash",
            "an address that ends in #sha256=HEX, so that what comes is what you mean",
            "`sha256sum FILE` prints it; or download the file yourself and give its path",
        )
    path = fetch_to_cache(RemoteFile(url, digest or (hashed[1] if hashed else "")))
    return WeightsFile(public, path, sha256_file(path))


def _peer_network(address: str, peer: str, spec: Spec) -> PeerNetwork:
    theirs = counterpart(spec, peer, loading=True)
    if theirs.peer_network is None:
        near = did_you_mean(spec.name, PEER_NETWORKS[peer], 1)
        raise InputError(
            f"{address} for {spec.name}, which {peer} does not have",
            f"one of {some(sorted(PEER_NETWORKS[peer]), 60)}",
            near or "Leave the weights out, or give them as a file",
        )
    if theirs.departures:
        raise InputError(
            f"{address} for a {spec.name} with {theirs.sentence}: it would compute something else",
            f"a {spec.name} as the catalog has it",
            "Leave the edits out, or give the weights as a file if you mean it",
        )
    return theirs.peer_network


def _from_torchvision(address: str, tag: str, peer_network: PeerNetwork, spec: Spec) -> WeightsFile:
    from torchvision.models import get_model_weights

    known = get_model_weights(peer_network.name)
    names = list(known.__members__)
    if tag not in names:
        raise InputError(
            f"{address} for {spec.name}", f"one of {', '.join(names)}", did_you_mean(tag, names, 1) or f"Use {names[0]}"
        )
    weights: Any = known.__members__[tag]
    hashed = _HASHED_NAME.search(urllib.parse.urlsplit(weights.url).path)
    if hashed is None:
        raise InputError(f"{weights.url}, whose name carries no hash", "a name that ends in one", "Give it as a file")
    # The catalog knows other locations of the same weights.
    rows = weights_of(spec.name, "torchvision")
    row = next((row for row in rows if row.locations[0].address == weights.url), None)
    path = fetch_published(row) if row else fetch_to_cache(RemoteFile(weights.url, hashed[1]))
    shown = weights.transforms()
    # What the file was trained with; mean and deviation from our own table, since torchvision's GoogLeNet and
    # Inception undo the ones that its transforms name.
    peer = importlib.import_module("residua.weights.sources.torchvision").preprocess(get_spec(spec.name), path.name)
    preprocess = PreprocessSpec(
        shown.crop_size[0], shown.resize_size[0], shown.interpolation.value, mean=peer.mean, std=peer.std
    )
    classes = tuple(map(str, weights.meta.get("categories") or ()))
    return WeightsFile(address, path, sha256_file(path), "torchvision", preprocess, classes)


def _from_timm(address: str, tag: str, peer_network: PeerNetwork, spec: Spec) -> WeightsFile:
    wanted = tag.removeprefix(f"{peer_network.name}.")
    rows = weights_of(spec.name, "timm")
    row = next((row for row in rows if row.tag == wanted or (wanted == "DEFAULT" and row.default)), None)
    if row is not None:  # without timm, whose version would decide the preprocessing
        path = fetch_published(row)
        return WeightsFile(address, path, sha256_file(path), "timm", row.preprocess)
    try:
        import timm
        from timm.models import get_pretrained_cfg
    except ImportError:
        raise InputError(
            f"{address}, and timm is not installed",
            "timm, which knows where its weights are",
            'Install it: pip install "residua[timm]"; or give the Hub\'s name: hf://timm/'
            + (f"{peer_network.name}.{tag}" if "." not in tag else tag),
        ) from None
    known = [name.partition(".")[2] for name in timm.list_pretrained(f"{peer_network.name}.*")]
    if wanted not in [*known, "DEFAULT"]:
        listed = ", ".join([*known, "DEFAULT"]) if known else "nothing: timm has no weights of this network"
        raise InputError(
            f"{address} for {spec.name}, which is {peer_network.name} there",
            f"one of {listed}",
            did_you_mean(wanted, known, 1),
        )
    pretrained: Any = get_pretrained_cfg(peer_network.name if wanted == "DEFAULT" else f"{peer_network.name}.{wanted}")
    repository = pretrained.hf_hub_id if "/" in (pretrained.hf_hub_id or "") else f"timm/{pretrained.hf_hub_id}"
    located = _from_hub(address, repository) if pretrained.hf_hub_id else _from_address(pretrained.url)
    return dataclasses.replace(
        located,
        name=address,
        source="timm",
        preprocess=preprocess_of(vars(pretrained), address),
        classes=tuple(map(str, pretrained.label_names or ())),
    )
