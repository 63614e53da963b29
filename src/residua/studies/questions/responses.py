"""Do residual networks respond less strongly than plain ones, layer by layer? He 2015, section 4.2 and figure 7."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

from residua.studies.study import (
    FULL,
    QUICK,
    Arm,
    Figure,
    Form,
    Outcome,
    Result,
    Results,
    Study,
    StudyOptions,
    Table,
    Verdict,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

    from residua.families.resnet import Network
    from residua.studies.measures.subject import Subject


def grid(options: StudyOptions) -> list[Arm]:
    """Return plain and residual networks of each depth; only a residual one of the largest, as in the paper."""
    if options.depths:
        plain = residual = tuple(sorted(set(options.depths)))
    elif options.quick:
        plain, residual = (14, 26), (14, 26, 38)
    else:
        plain, residual = (20, 56), (20, 56, 110)
    arms = [Arm(f"plain-{depth}", f"cifar_plain{depth}", group="plain", x=depth) for depth in plain]
    return arms + [Arm(f"residual-{depth}", f"cifar_resnet{depth}", group="residual", x=depth) for depth in residual]


def measure(subject: Subject) -> dict[str, Any]:
    """Return the standard deviation of every layer's response, and each branch's norm over its shortcut's.

    A response is the output of a convolution, after batch normalisation where it follows, before activation or
    addition. `ratios`: mean over the images of ‖branch‖ / ‖shortcut‖ at each addition, gates aside. On held-out images.
    """
    from residua.studies.measures.surgery import residual

    batches = [batch.images for batch in subject.batches(count=1000 if subject.quick else 5000)]
    return responses_of(residual(subject.model), batches)


def responses_of(network: Network, batches: list[Tensor]) -> dict[str, Any]:
    """Measure a network on batches of images."""
    import torch

    from residua.studies.measures.surgery import branch_end, named_units

    sums: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}
    skips: dict[str, Tensor] = {}
    hooks = []

    def sums_of(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
            wide = out.double()
            moments = sums.setdefault(name, [0.0, 0.0, 0.0])
            for power, value in enumerate((wide.numel(), float(wide.sum()), float((wide * wide).sum()))):
                moments[power] += value

        return hook

    def skip_of(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor | None = None) -> None:
            skips[name] = (inputs[0] if out is None else out).flatten(1).norm(dim=1)

        return hook

    def ratio_of(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
            branches[name] = out.flatten(1).norm(dim=1)

        return hook

    branches: dict[str, Tensor] = {}
    for name, layer in _response_layers(network):
        hooks.append(layer.register_forward_hook(sums_of(name)))
    for name, unit in named_units(network).items():
        if unit.plain:
            continue
        if unit.downsample is None:
            hooks.append(unit.register_forward_pre_hook(skip_of(name)))
        else:
            hooks.append(unit.downsample.register_forward_hook(skip_of(name)))
        hooks.append(branch_end(unit, network).register_forward_hook(ratio_of(name)))
    try:
        with torch.inference_mode():
            for images in batches:
                network(images)
                for name, norm in branches.items():
                    ratios.setdefault(name, []).extend((norm / skips[name].clamp_min(1e-12)).tolist())
    finally:
        for handle in hooks:
            handle.remove()
    stds = {
        name: max(square / count - (total / count) ** 2, 0.0) ** 0.5 for name, (count, total, square) in sums.items()
    }
    return {
        "kind": "plain" if network.spec.shortcut == "none" else "residual",
        "layers": list(stds),
        "std": list(stds.values()),
        "units": list(ratios),
        "ratios": [statistics.fmean(values) for values in ratios.values()],
    }


def _response_layers(network: Network) -> list[tuple[str, nn.Module]]:
    from residua.studies.measures.surgery import named_units

    behind = network.spec.activation in ("post", "relu_before_add", "relu_only_pre")
    kind = "bn" if behind else "conv"
    layers: list[tuple[str, nn.Module]] = []
    for name, unit in named_units(network).items():
        for number in range(1, unit.depth + 1):
            # With BN behind the addition, only the last convolution lacks one of its own.
            own = "bn" if network.spec.activation == "bn_after_add" and number < unit.depth else kind
            layers.append((f"{name}.conv{number}", getattr(unit, f"{own}{number}")))
    return layers


def conclude(results: Results) -> Outcome:
    """Compare plain and residual networks of one depth, layer by layer; then residual ones by depth."""
    from residua.figures.axes import compact
    from residua.studies.charts import value_lines

    done = results.done()
    figures = []
    for title, label, ranked in (
        ("standard deviation of the responses", "layer", False),
        ("the same, the largest first", "rank", True),
    ):
        lines = [(arm.label, _mean(results.of(arm.label), "std")) for arm in done]
        lines = [(name, sorted(values, reverse=True) if ranked else values) for name, values in lines]
        if svg := value_lines(title, label, lines, compact):
            figures.append(Figure(svg, "Of each layer of the units, behind BN, before activation and addition."))
    lines = [(arm.label, _mean(results.of(arm.label), "ratios")) for arm in done]
    lines = [(name, values) for name, values in lines if values]
    if lines and (svg := value_lines("branch over shortcut, norms", "unit", lines, compact)):
        figures.append(Figure(svg, "How much each unit changes its input: mean of ‖branch‖ / ‖shortcut‖."))
    rows = []
    for arm in done:
        stds, ratios = _mean(results.of(arm.label), "std"), _mean(results.of(arm.label), "ratios")
        middle = f"{statistics.median(ratios):.3f}" if ratios else "–"
        rows.append((arm.label, str(len(stds)), f"{statistics.fmean(stds):.3f}", f"{max(stds):.3f}", middle))
    header = ("network", "layers", "mean deviation", "largest", "median branch / shortcut")
    table = Table("Responses on held-out images, means over the seeds.", header, tuple(rows))
    return Outcome(_verdict(results), tuple(figures), (table,))


def _mean(runs: list[Result], key: str) -> list[float]:
    return [statistics.fmean(column) for column in zip(*(result.measured[key] for result in runs), strict=True)]


def _verdict(results: Results) -> Verdict:
    from residua.studies.intervals import meaning, over_units

    numbers, answers, changes = {}, [], []
    plain = {arm.x: arm for arm in reversed(results.done("plain"))}
    for arm in results.done("residual"):
        if arm.x in plain:
            pairs = zip(results.of(arm.label), results.of(plain[arm.x].label), strict=False)
            rows = [(ours.measured["std"], theirs.measured["std"]) for ours, theirs in pairs]
            interval = over_units([[a - b for a, b in zip(*row, strict=True)] for row in rows])
            depth = f"{arm.x:g} layers"
            name = f"{depth} ({arm.label})" if depth in numbers else depth
            numbers[name] = interval
            answers.append("yes" if interval.high < 0 else "no" if interval.low > 0 else "undecided")
            changes.append(f"at {name} by {interval.value:+z.3f} ({interval.low:+z.3f} to {interval.high:+z.3f})")
    means = {arm.label: statistics.fmean(_mean(results.of(arm.label), "std")) for arm in results.done("residual")}
    details = ["Mean deviation of the residual networks: " + ", ".join(f"{k} {v:.3f}" for k, v in means.items()) + "."]
    details += meaning(numbers.values(), results.seed_sd)
    if not answers:
        return Verdict("undecided", "Plain and residual networks of one depth are needed.", tuple(details), numbers)
    answer = answers[0] if len(set(answers)) == 1 else "undecided"
    text = f"A layer's deviation in a residual network differs from the plain one's {', '.join(changes)}."
    return Verdict(answer, text, tuple(details), numbers)  # type: ignore[arg-type]


STUDY = Study(
    name="responses",
    question="Do the layers of residual networks respond less strongly than those of plain ones?",
    source="He 2015, arXiv 1512.03385, section 4.2 and figure 7",
    grid=grid,
    measure=measure,
    full=Form("paper", FULL, "The networks of figure 7, by the paper's recipe. The stem is left out."),
    quick=Form(
        "fast",
        {**QUICK, "train_images": 4000, "measure_train": 0},
        "Brief training moves the responses only part of the way from where they start, which batch normalisation sets "
        "alike for both kinds: the direction shows, not the paper's size of it. The stem is left out.",
    ),
    conclude=conclude,
    takes_depths=True,
    takes_runs=True,
)
