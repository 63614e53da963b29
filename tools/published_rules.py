"""Which published result belongs to which of our networks: a table of rules, and a table of exclusions."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Paper: the network's own paper, or its authors' later paper or repository. Peer: other people's training or weights.
PAPER, PEER = "paper", "peer"


@dataclass(frozen=True)
class Rule:
    """Maps rows of a source to one of our networks.

    Attributes:
        source: regular expression, found at the start of the row's source.
        architecture: regular expression of the whole architecture.
        name: ours, with the groups of `architecture` in braces.
        kind: `PAPER` or `PEER`.
        dataset: start of the data set's name, "" for any.
    """

    source: str
    architecture: str
    name: str
    kind: str
    dataset: str = ""


@dataclass(frozen=True)
class Exclusion:
    """Rows that belong to none of our networks; tried before the rules.

    Attributes:
        pattern: regular expression, found anywhere in "source | architecture | protocol".
        why: the reason, for the list of what was left out.
    """

    pattern: str
    why: str


@dataclass(frozen=True)
class Form:
    """Maps rows to a network of ours with fields edited.

    Attributes:
        source, architecture, name: as of a `Rule`.
        edits: fields of the spec.
    """

    source: str
    architecture: str
    name: str
    edits: dict[str, str]


@dataclass(frozen=True)
class Ensemble:
    """Maps rows to several of our networks whose probabilities are averaged.

    Attributes:
        source, architecture: as of a `Rule`.
        members: our names -> how many of each.
        others: members that the source does not name.
    """

    source: str
    architecture: str
    members: dict[str, int]
    others: int = 0


@dataclass(frozen=True)
class Transfer:
    """What a network adds to another task in place of a former one, as a paper gives it.

    Attributes:
        task: data set, method and metric.
        before: network of the former value.
        after: network of the new value.
        values: (former, new), in %.
        source: paper, table.
    """

    task: str
    before: str
    after: str
    values: tuple[float, float]
    source: str


_HE15, _HE16 = r"arXiv 1512\.03385", r"arXiv 1603\.05027"
_OTHERS = "reported of other people's networks; their own source has a row of its own, or none was seen"

EXCLUSIONS = (
    Exclusion(r"\| [^|]*(ensemble|[2-9] (CNNs|convnets))|\| [2-9] model\(s\)", "an ensemble"),
    Exclusion(r"\| .*dropout (0\.2|0\.5 shortcut)|\| (WRN|ResNet)[^|]* dropout", "dropout where our network has none"),
    Exclusion(r"\| [^|]*option B\) \|", "another shortcut: projections"),
    Exclusion(
        r"\| ResNet-110 (constant|exclusive|shortcut-only|1x1|dropout)|\| Highway-110", "another shortcut or gate"
    ),
    Exclusion(r"(BN.after.addition|ReLU before addition|ReLU-only|1-layer skip)", "another order of the unit"),
    Exclusion(
        r"\| ResNet-(164|200|1001) (original|baseline|\[1\])",
        "a unit of the original order at this depth has no name of ours",
    ),
    Exclusion(r"\| AlexNet 1 CNN, pre-trained", "trained on other data, with one more layer"),
    Exclusion(r"\| ZFNet replication", "a replication whose groups were not checked"),
    Exclusion(r"\| BVLC CaffeNet", "pooling before normalisation: another network"),
    Exclusion(rf"({_HE15}.*\| (VGG \(|GoogLeNet|Highway|NIN))|({_HE16}.*\| (NIN|Highway|Inception))", _OTHERS),
    Exclusion(r"via 1603\.05027|wide-residual-networks README \| (pre-ResNet|NIN)", _OTHERS),
    Exclusion(r"fb\.resnet\.torch.*\(preact\)|craftGBD", "a stem that differs around the pool, or was not checked"),
    Exclusion(r"TF-Slim (ResNet V1|Inception V1)|gluon", "a form of another stem or pool, not checked against ours"),
    Exclusion(r"ens_adv", "trained against attacks"),
    Exclusion(r"kuangliu", "a network for 32×32 images of ImageNet's widths: no name of ours"),
    Exclusion(r"MNIST", "a convolutional network for MNIST: no name of ours"),
)

RULES = (
    # He 2015 and 2016, and the authors' models
    Rule(_HE15, r"plain-(18|34)", "plain{}", PAPER, "ImageNet"),
    Rule(_HE15, r"plain-(110)", "cifar_plain{}", PAPER, "CIFAR"),
    Rule(_HE15, r"ResNet-(34) B", "resnet{}", PAPER, "ImageNet"),
    Rule(_HE15, r"ResNet-(50|101|152)", "resnet{}_v1", PAPER, "ImageNet"),
    Rule(_HE15, r"ResNet-(20|32|44|56|110|1202)", "cifar_resnet{}", PAPER, "CIFAR"),
    Rule(r"KaimingHe/", r"ResNet-(50|101|152)", "resnet{}_v1", PAPER),
    Rule(rf"{_HE15}|KaimingHe/", r"VGG-(16)", "vgg{}", PEER),
    Rule(_HE16, r"ResNet-(110) (?:original (?:shortcut|unit)|baseline unit|\[1\] .*)", "cifar_resnet{}", PAPER),
    Rule(_HE16, r"ResNet-(1202) \[1\] .*", "cifar_resnet{}", PAPER),
    Rule(_HE16, r"ResNet-(110) (?:full pre-activation|pre-activation unit)", "cifar_resnet{}_v2", PAPER),
    Rule(
        _HE16,
        r"ResNet-(164|1001) (?:full pre-activation|pre-activation unit|preact.*)",
        "cifar_resnet{}_v2_bottleneck",
        PAPER,
    ),
    Rule(_HE16, r"ResNet-(152) original", "resnet{}_v1", PAPER, "ImageNet"),
    Rule(_HE16, r"ResNet-(152|200) pre-act", "resnet{}_v2", PAPER, "ImageNet"),
    # re-implementations of them
    Rule(r"(facebookarchive/)?fb\.resnet\.torch", r"ResNet-(18|34|50|101|152)(?: \(v1\.5\))?", "resnet{}", PEER),
    Rule(r"facebookresearch/ResNeXt", r"ResNet-(50|101) 1x64d", "resnet{}", PEER),
    # The place of the padded channels in option A only relabels channels: trained from scratch, it is the same network.
    Rule(r"akamaster/", r"akamaster ResNet(\d+)", "cifar_resnet{}", PEER),
    Rule(r"flukeskywalker/highway-resnet", r"ResNet-(110) \(A\)", "cifar_resnet{}", PEER),
    Rule(r"keras-team/keras examples", r"Keras example ResNet(20|32|44|56|110) v1", "cifar_resnet{}_keras", PEER),
    Rule(r"keras-team/keras examples", r"Keras example ResNet(\d+) v2", "cifar_resnet{}_v2_keras", PEER),
    # later families
    Rule(r"szagoruyko/", r"WRN-(\d+)-(\d+)", "cifar_wrn{}_{}", PAPER, "CIFAR"),
    Rule(r"szagoruyko/", r"WRN-50-2-bottleneck", "wide_resnet50_2", PAPER, "ImageNet"),
    Rule(r"facebookresearch/ResNeXt", r"ResNeXt-(50) 32x4d", "resnext{}_32x4d", PAPER),
    Rule(r"facebookresearch/ResNeXt", r"ResNeXt-(101) 64x4d", "resnext{}_64x4d", PAPER),
    Rule(r"hujie-frank/", r"SE-ResNet-(50|101|152) \(released, retrained\)", "seresnet{}_v1", PAPER),
    Rule(r"hujie-frank/", r"SENet-154 \(released, retrained\)", "senet154", PAPER),
    Rule(r"soeaver/", r"se-resnet(50)", "seresnet{}_v1", PEER),
    Rule(r"soeaver/", r"senet-154", "senet154", PEER),
    Rule(r"liuzhuang13/", r"DenseNet L=(\d+) k=(\d+) .*", "cifar_densenet{}_{}", PAPER, "CIFAR"),
    Rule(r"liuzhuang13/", r"DenseNet-BC L=(\d+) k=(\d+) .*", "cifar_densenet_bc{}_{}", PAPER, "CIFAR"),
    Rule(r"liuzhuang13/", r"DenseNet-(121|161|169|201) \(released Torch\)", "densenet{}", PAPER, "ImageNet"),
    Rule(r"arXiv 1507\.06228", r"Highway B, (19) layers .*|Highway Network \(19 layers\)", "cifar_highway19", PAPER),
    Rule(r"arXiv 1507\.06228", r"Highway C, 32 layers .*", "cifar_highway32", PAPER),
    Rule(r"flukeskywalker/highway-networks", r"Highway 19-layer sample run", "cifar_highway19", PAPER, "CIFAR"),
    # Inception
    Rule(r"arXiv 1409\.4842", r"GoogLeNet", "googlenet", PAPER),
    Rule(r"Inception-v4 paper", r"Inception-v([34])", "inception_v{}", PAPER),
    Rule(r"Inception-v4 paper", r"Inception-ResNet-v2", "inception_resnet_v2", PAPER),
    Rule(r"tensorflow/models", r"TF-Slim Inception V([34])", "inception_v{}", PEER),
    Rule(r"tensorflow/models", r"TF-Slim Inception-ResNet-v2", "inception_resnet_v2", PEER),
    Rule(r"tensorflow/models", r"TF-Slim ResNet V2 (50|101|152|200)", "resnet{}_v2_slim", PEER),
    Rule(r"soeaver/", r"inception-v([34])", "inception_v{}", PEER),
    Rule(r"soeaver/", r"inception-resnet-v2", "inception_resnet_v2", PEER),
    # before residual networks
    Rule(r"Krizhevsky 2012", r"AlexNet(?: 1 CNN)?", "alexnet_2012", PAPER),
    Rule(r"BVLC/caffe", r"BVLC AlexNet", "alexnet_2012", PEER),
    Rule(r"BVLC/caffe", r"BVLC GoogLeNet", "googlenet", PEER),
    Rule(r"arXiv 1311\.2901", r"ZFNet 1 convnet \(Fig\. 3\)", "zfnet", PAPER),
    Rule(r"arXiv 1311\.2901", r"ZFNet 1 convnet 512-1024-512 \(b\)", "zfnet_512_1024_512", PAPER),
    Rule(r"arXiv 1312\.4400", r"NIN \+ dropout(?: \+ augmentation)?", "cifar_nin", PAPER, "CIFAR-10 "),
    Rule(r"arXiv 1409\.1556", r"VGG config [ABDE] \(VGG-(11|13|16|19)\)", "vgg{}", PAPER),
    Rule(r"tensorflow/models", r"TF-Slim VGG (16|19)", "vgg{}", PEER),
    # libraries of weights
    Rule(r"torchvision", r"torchvision googlenet\..*", "googlenet_bn", PEER),
    Rule(r"torchvision", r"torchvision (\w+)\..*", "{}", PEER),
    Rule(r"huggingface/", r"timm resnetv2_(50|101)\..*", "resnet{}_v2", PEER),
    Rule(r"huggingface/", r"timm legacy_seresnet(50|101|152)\..*", "seresnet{}_v1", PEER),
    Rule(r"huggingface/", r"timm legacy_(senet154)\..*", "{}", PEER),
    Rule(r"huggingface/", r"timm (seresnet50|inception_\w+|densenet\d+)\..*", "{}", PEER),
    Rule(r"keras\.io", r"Keras Applications VGG(16|19)", "vgg{}", PEER),
    Rule(r"keras\.io", r"Keras Applications ResNet(50|101|152)", "resnet{}_keras", PEER),
    Rule(r"keras\.io", r"Keras Applications ResNet(50|101|152)V2", "resnet{}_v2_keras", PEER),
    Rule(r"keras\.io", r"Keras Applications InceptionV3", "inception_v3", PEER),
    Rule(r"keras\.io", r"Keras Applications InceptionResNetV2", "inception_resnet_v2", PEER),
    Rule(r"keras\.io", r"Keras Applications DenseNet(121|169|201)", "densenet{}", PEER),
)


FORMS = (
    Form(_HE15, r"ResNet-(18|34) \(?A\)?", "resnet{}", {"shortcut": "pad"}),
    Form(_HE15, r"ResNet-(34) C", "resnet{}", {"shortcut": "projection_all"}),
)

ENSEMBLES = (
    # The paper: "six models of different depth", with two 152-layer ones; it does not name the other four.
    Ensemble(_HE15, r"ResNet ensemble \(ILSVRC15\).*", {"resnet152_v1": 2}, 4),
    Ensemble(r"Inception-v4 paper", r"Inception-v3 x4 ensemble", {"inception_v3": 4}),
    Ensemble(
        r"Inception-v4 paper",
        r"Inception-v4 \+ 3x Inception-ResNet-v2 ensemble",
        {"inception_v4": 1, "inception_resnet_v2": 3},
    ),
)

TRANSFERS = (
    # The abstract states the gain: 28%.
    Transfer(
        "COCO val, Faster R-CNN, mAP at IoU 0.5 to 0.95", "vgg16", "resnet101_v1", (21.2, 27.2), "He 2015, table 8"
    ),
)


def form_of(architecture: str, source: str) -> tuple[str, dict[str, str]] | None:
    """Return our name and the edits of a row's network, None where no form fits."""
    for form in FORMS:
        found = re.fullmatch(form.architecture, architecture)
        if found and re.match(form.source, source):
            return form.name.format(*found.groups()), form.edits
    return None


def ensemble_of(architecture: str, source: str) -> Ensemble | None:
    """Return the members of a row's ensemble, None where it is none of those in the table."""
    fits = (each for each in ENSEMBLES if re.fullmatch(each.architecture, architecture))
    return next((each for each in fits if re.match(each.source, source)), None)


def network_of(architecture: str, source: str, dataset: str, protocol: str) -> tuple[str, str] | str:
    """Return our name and the kind of the row, or why it belongs to none of our networks."""
    text = f"{source} | {architecture} | {protocol} | {dataset}"
    for exclusion in EXCLUSIONS:
        if re.search(exclusion.pattern, text):
            return exclusion.why
    for rule in RULES:
        found = re.fullmatch(rule.architecture, architecture)
        if found and re.match(rule.source, source) and dataset.startswith(rule.dataset):
            return rule.name.format(*found.groups()), rule.kind
    return "no network of the catalog"
