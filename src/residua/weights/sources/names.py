"""The names of the sources, apart from their readers: the command line lists them without loading torch."""

SOURCES = ("keras", "slim", "cifar_resnet", "huggingface", "mmpretrain", "fastai", "timm", "torchvision")
"""In the order in which names are tried: the last, whose names our networks share, takes what no other knows."""
