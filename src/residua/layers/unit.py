"""The residual unit: y = join(shortcut(x), branch(x)), in the five orders of He 2016, figure 4."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from residua.layers.shared import owner


class ResidualUnit(nn.Module):
    """What the five orders share: the weights, under torchvision's names, and the way around them.

    Shapes: (B, C_in, H, W) -> (B, C_out, H / stride, W / stride).

    Args:
        convs: the branch's convolutions, two (basic) or three (bottleneck), kept as `conv1`, `conv2`, `conv3`.
        norms: their batch normalisations, kept as `bn1`, `bn2`, `bn3`.
        downsample: the shortcut where it is no identity, else None (torchvision's name).
        plain: no shortcut at all: the unit is its branch.
        join: how shortcut and branch are combined; None: their sum.
        se: squeeze-and-excitation at the end of the branch.
        dropout: probability, before the last convolution.
        stochastic_depth: drops the whole branch in training, behind `se`.
        raw_projection: a pre-activated unit's projection reads the input as it came, not its first BN-ReLU of it.
    """

    def __init__(
        self,
        convs: Sequence[nn.Module],
        norms: Sequence[nn.Module],
        downsample: nn.Module | None = None,
        *,
        plain: bool = False,
        join: nn.Module | None = None,
        se: nn.Module | None = None,
        dropout: float = 0.0,
        stochastic_depth: nn.Module | None = None,
        raw_projection: bool = False,
    ) -> None:
        super().__init__()
        for index, (conv, norm) in enumerate(zip(convs, norms, strict=True), 1):
            self.add_module(f"conv{index}", conv)
            self.add_module(f"bn{index}", norm)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.plain = plain
        self.join, self.se = join, se
        self.dropout = nn.Dropout(dropout) if dropout else None
        self.stochastic_depth = stochastic_depth
        self.depth = len(convs)
        self.raw_projection = raw_projection

    def _layers(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(getattr(self, f"conv{i}"), getattr(self, f"bn{i}")) for i in range(1, self.depth + 1)]

    def _projects(self) -> bool:
        """Return whether the shortcut is a projection, the unit's own or a shared one."""
        return self.downsample is not None and isinstance(owner(self.downsample), nn.Sequential)

    def _inner(self, x: Tensor) -> Tensor:
        """Apply convolution, BN and ReLU of every layer but the last."""
        for conv, norm in self._layers()[:-1]:
            x = self.relu(norm(conv(x)))
        return self.dropout(x) if self.dropout else x

    def _add(self, x: Tensor, branch: Tensor, shortcut_input: Tensor | None = None) -> Tensor:
        """Lead `x` around the branch. Pre-activated units may lead `shortcut_input` through a projection instead."""
        if self.se:
            branch = self.se(branch)
        if self.stochastic_depth:
            branch = self.stochastic_depth(branch)
        if self.plain:
            return branch
        skip = self.downsample(x if shortcut_input is None else shortcut_input) if self.downsample else x
        if self.join:
            joined: Tensor = self.join(x, skip, branch)
            return joined
        return branch.add_(skip)

    def forward_inside(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the unit's output and what flows inside, under TF-slim's names of it.

        `shortcut`, where it is a projection; `conv1`, `conv2`, … behind their norm and activation as far as these come
        before the next convolution or the addition.
        """
        inside: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[..., None]:
            # Sums and activations work in place; copies keep what flowed.
            def hook(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor | None = None) -> None:
                inside[name] = (inputs[0] if out is None else out).clone()

            return hook

        last, norm = self._layers()[-1]
        branch = norm if isinstance(self, PostActivationUnit) else last
        hooks = [branch.register_forward_hook(keep(f"conv{self.depth}"))]
        for number, (conv, _) in enumerate(self._layers()[1:], 1):
            hooks.append(conv.register_forward_pre_hook(keep(f"conv{number}")))
        if self.downsample and self._projects():
            hooks.append(self.downsample.register_forward_hook(keep("shortcut")))
        try:
            out = self(x)
        finally:
            for hook in hooks:
                hook.remove()
        names = ("shortcut", *(f"conv{number}" for number in range(1, self.depth + 1)))
        return out, {name: inside[name] for name in names if name in inside}


class PostActivationUnit(ResidualUnit):
    """(a) Original: the sum is activated (He 2015, figure 2)."""

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = self._layers()[-1]
        out: Tensor = self.relu(self._add(x, norm(conv(self._inner(x)))))
        return out


class BnAfterAddUnit(ResidualUnit):
    """(b) BN after addition: the last BN stands on the shortcut's way too."""

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = self._layers()[-1]
        out: Tensor = self.relu(norm(self._add(x, conv(self._inner(x)))))
        return out


class ReluBeforeAddUnit(ResidualUnit):
    """(c) ReLU before addition: the branch can only add."""

    def forward(self, x: Tensor) -> Tensor:
        conv, norm = self._layers()[-1]
        # The sum works in place, and ReLU keeps its output for the backward pass: so it gets a copy of its own.
        return self._add(x, nn.functional.relu(norm(conv(self._inner(x)))).clone())


class ReluOnlyPreUnit(ResidualUnit):
    """(d) ReLU-only pre-activation: ReLU, convolution, BN."""

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for index, (conv, norm) in enumerate(self._layers(), 1):
            out = nn.functional.relu(out)
            if self.dropout and index == self.depth:
                out = self.dropout(out)
            out = norm(conv(out))
        return self._add(x, out)


class FullPreUnit(ResidualUnit):
    """(e) Full pre-activation: BN, ReLU, convolution; a projection shares the first BN-ReLU unless `raw_projection`.

    A unit whose input is activated already has an identity for `bn1` (see `ResNetSpec.stem_norm`).
    """

    def forward(self, x: Tensor) -> Tensor:
        (first, first_norm), *rest = self._layers()
        activated = first_norm(x)
        if not isinstance(first_norm, nn.Identity):
            activated = self.relu(activated)
        out: Tensor = first(activated)
        for index, (conv, norm) in enumerate(rest, 2):
            out = self.relu(norm(out))
            if self.dropout and index == self.depth:
                out = self.dropout(out)
            out = conv(out)
        return self._add(x, out, activated if self._projects() and not self.raw_projection else x)


UNITS: dict[str, type[ResidualUnit]] = {
    "post": PostActivationUnit,
    "bn_after_add": BnAfterAddUnit,
    "relu_before_add": ReluBeforeAddUnit,
    "relu_only_pre": ReluOnlyPreUnit,
    "full_pre": FullPreUnit,
}
