"""Where do normalisation and activation belong in a residual unit? He 2016, section 4, figure 4 and table 2."""

from __future__ import annotations

from typing import Any

from residua.studies.study import FULL, QUICK, Arm, Form, Outcome, Results, Study, StudyOptions

_BEST = "full pre-activation"
_ORDERS: dict[str, dict[str, Any]] = {
    "original": {},
    "BN after addition": {"activation": "bn_after_add"},
    "ReLU before addition": {"activation": "relu_before_add"},
    "ReLU-only pre-activation": {"activation": "relu_only_pre"},
    # The first activation stands before the paths split, as in the authors' code.
    _BEST: {"activation": "full_pre", "stem_norm": True},
}
_PUBLISHED = dict(zip(_ORDERS, ("6.61", "8.17", "7.84", "6.71", "6.37"), strict=True))


def grid(options: StudyOptions) -> list[Arm]:
    """Return the five orders at one depth: 20 layers in the quick form, 110 in the full one, or the depth given."""
    depth = options.one_depth(quick=20, full=110)
    return [Arm(label, f"cifar_resnet{depth}", edits, group="orders") for label, edits in _ORDERS.items()]


def conclude(results: Results) -> Outcome:
    """Compare every order with full pre-activation."""
    from residua.studies.comparison import compared

    return compared(
        results,
        _BEST,
        claim=[label for label in _ORDERS if label != _BEST],
        best="full pre-activation",
        published=_PUBLISHED,
        protocol="He 2016, table 2, 110 layers on CIFAR-10",
    )


STUDY = Study(
    name="activations",
    question="Is full pre-activation the best order of normalisation, activation and addition?",
    source="He 2016, arXiv 1603.05027, section 4, figure 4 and table 2",
    grid=grid,
    full=Form(
        "paper",
        {**FULL, "warmup_epochs": 1.0},
        "{layers}; 110 and 64,000 steps in the paper, with a linear warm-up of one epoch here where the paper has 400 "
        "steps at a tenth of the rate.",
    ),
    quick=Form(
        "fast",
        QUICK,
        "Short training of {layers} shows how fast each order learns. The paper's differences "
        "are of a point or two, at 110 layers, and show after long training: this form cannot tell them, only an "
        "order that hinders training at once.",
    ),
    conclude=conclude,
    takes_depths=True,
)
