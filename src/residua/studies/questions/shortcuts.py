"""Is an identity the best shortcut? He 2015, section 4.1 (options A, B, C); He 2016, section 3.1 and table 1."""

from __future__ import annotations

from typing import Any

from residua.studies.study import FULL, QUICK, Arm, Form, Outcome, Results, Study, StudyOptions

_BASE = "identity (A)"
_OPTIONS: dict[str, dict[str, Any]] = {
    _BASE: {},
    "projection (B)": {"shortcut": "projection"},
    "1×1 everywhere (C)": {"shortcut": "projection_all"},
}
# On top of option A, as in the paper, whose 1×1 convolutional shortcuts are option C.
_TABLE_1: dict[str, dict[str, Any]] = {
    "scaled 0, 1 (plain)": {"shortcut": "none"},
    "scaled 0.5, 1": {"gate": "constant", "shortcut_scale": 0.5},
    "scaled 0.5, 0.5": {"gate": "constant", "shortcut_scale": 0.5, "branch_scale": 0.5},
    "exclusive gate, b −6": {"gate": "exclusive", "gate_bias": -6.0},
    "shortcut gate, b 0": {"gate": "shortcut_only", "gate_bias": 0.0},
    "shortcut gate, b −6": {"gate": "shortcut_only", "gate_bias": -6.0},
    "dropout 0.5": {"gate": "dropout", "shortcut_dropout": 0.5},
}
_PUBLISHED = {
    _BASE: "6.61",
    "1×1 everywhere (C)": "12.22",
    "scaled 0, 1 (plain)": "fails",
    "scaled 0.5, 1": "fails",
    "scaled 0.5, 0.5": "12.35",
    "exclusive gate, b −6": "8.70",
    "shortcut gate, b 0": "12.86",
    "shortcut gate, b −6": "6.91",
    "dropout 0.5": "fails",
}


def grid(options: StudyOptions) -> list[Arm]:
    """Return every shortcut on one network: 20 layers in the quick form, 110 in the full one, or the depth given."""
    depth = options.one_depth(quick=20, full=110)
    name = f"cifar_resnet{depth}"
    arms = [Arm(label, name, edits, group="options A, B, C") for label, edits in _OPTIONS.items()]
    return arms + [Arm(label, name, edits, group="He 2016, table 1") for label, edits in _TABLE_1.items()]


def conclude(results: Results) -> Outcome:
    """Compare every shortcut with the identity."""
    from residua.studies.comparison import compared

    return compared(
        results,
        _BASE,
        claim=["1×1 everywhere (C)", *_TABLE_1],
        best="the identity",
        published=_PUBLISHED,
        protocol="He 2016, table 1, 110 layers on CIFAR-10",
    )


STUDY = Study(
    name="shortcuts",
    question="Is an identity the best shortcut?",
    source="He 2015, arXiv 1512.03385, section 4.1; He 2016, arXiv 1603.05027, section 3.1 and table 1",
    grid=grid,
    full=Form(
        "paper",
        {**FULL, "warmup_epochs": 1.0},
        "{layers}; 110 and 64,000 steps in the paper, with a linear warm-up of one epoch here where the paper has 400 "
        "steps at a tenth of the rate. Option B, which He 2016 leaves out, stands beside the others.",
    ),
    quick=Form(
        "fast",
        {**QUICK, "train_images": 2000, "epochs": 8, "measure_train": 500},
        "Short training of {layers} shows which shortcuts hinder training at once. The "
        "differences of the paper grow with depth, 110 layers there: what is alike here need not be alike there, "
        "and options A, B and C differ by less than this form can tell.",
    ),
    conclude=conclude,
    takes_depths=True,
)
