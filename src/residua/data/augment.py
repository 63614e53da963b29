"""Augmentation: batched, on the device, each image's randomness a pure function of (seed, epoch, index)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from residua.data.policies.policies import COLUMNS as POLICY_COLUMNS
from residua.data.policies.policies import apply_policy
from residua.data.preprocess.random_crop import END_BOX_COLUMN, FIRST_BOX_COLUMN, random_boxes
from residua.data.preprocess.sending import to_device
from residua.data.random import uniforms
from residua.data.warp import Moves, coordinates, sample
from residua.specs.augment import AugmentSpec
from residua.specs.preprocess import LUMA, PreprocessSpec

# Each effect owns columns of the table of uniforms, so that switching one on leaves the others as they were.
_FLIP, _PAD_Y, _PAD_X, _SHIFT_Y, _SHIFT_X, _CUT_Y, _CUT_X = range(7)
_BRIGHTNESS, _CONTRAST, _SATURATION, _MIX, _MIX_Y, _MIX_X = range(7, FIRST_BOX_COLUMN)
_ROTATION, _SHEAR, _ROW_ZOOM, _COLUMN_ZOOM, _CHANNELS, _UPSIDE, _LEVEL = range(END_BOX_COLUMN, END_BOX_COLUMN + 7)
_ALL_COLUMNS = END_BOX_COLUMN + 7
_POLICY = _ALL_COLUMNS


class Augment:
    """Executes an `AugmentSpec`.

    The order is crop; shift, rotation, shear and zoom; flips; RandAugment and the like; channel shift; brightness;
    cutout; colours; mixup or cutmix.

    Args:
        spec: what to do.
        num_classes: K, for the soft labels of mixup and cutmix.
        preprocess: the side S of the result, and the mean that cutout fills with.
        cropped: a random resized crop was already made, image by image, by the loader.
    """

    def __init__(
        self, spec: AugmentSpec, num_classes: int, preprocess: PreprocessSpec, *, cropped: bool = False
    ) -> None:
        self.spec, self.num_classes, self.preprocess, self.cropped = spec, num_classes, preprocess, cropped

    def __call__(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        indices: npt.NDArray[np.int64],
        seed: int,
        epoch: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Augment a batch.

        Args:
            images: uint8 (B, 3, H, W) on the device; H = W = S unless `crop="random_resized"`.
            labels: int64 (B,), on the device; or (B, K) of 0 and 1 where an image may have several.
            indices: int64 (B,), what sets the images' randomness apart: their positions, or draws (`Store.batches`).

        Returns:
            Images (B, 3, S, S), uint8, or float32 in 0..255 where levels were computed: interpolated, shifted, of
            other colours or mixed; labels int64 (B,), or float32 (B, K) that sum to 1 under mixup and cutmix. Labels
            (B, K) are mixed as they are: each of both images in proportion.
        """
        spec, device = self.spec, images.device
        table = uniforms(seed, epoch, indices, _columns(spec))
        if spec.alternate_flip:
            # Epoch 0 draws as ever; each later epoch turns the image round once more.
            first = uniforms(seed, 0, indices, _FLIP + 1)[:, _FLIP] < 0.5
            table[:, _FLIP] = np.where(first ^ bool(epoch % 2), 0.0, 1.0)
        if spec.crop == "random_resized" and not self.cropped:
            images = self._resized_crop(images, table)
        images = self._warp(images, table) if spec.warps else self._move(images, table)
        if spec.has_policy:
            images = self._policy(images, table)
        if spec.channel_shift:
            images = self._channel_shift(images.to(torch.float32), table)
        if spec.brightness != (1.0, 1.0):
            images = self._brightness(images, table)
        if spec.cutout:
            images = self._cutout(images, table)
        if spec.color_jitter:
            images = self._colours(images.to(torch.float32), to_device(table, device))
        if spec.mixup or spec.cutmix:
            return self._mix(images, labels, table)
        return images, labels

    def _move(self, images: torch.Tensor, table: npt.NDArray[np.float32]) -> torch.Tensor:
        """Crop from the padded image, shift and flip, in one gather of computed rows and columns."""
        spec, side = self.spec, images.shape[2]
        padded, (reach_y, reach_x) = spec.crop == "pad" and spec.pad > 0, spec.shifts
        shifted = max(reach_y, reach_x) > 0
        if not (padded or shifted or spec.flip or spec.vertical_flip):
            return images
        if not (padded or shifted or spec.vertical_flip):
            mirrored = np.flatnonzero(table[:, _FLIP] < 0.5)
            # Whole images are picked from both kinds: `index_copy` goes byte by byte, and takes ten times as long.
            places = np.arange(len(table))
            places[mirrored] = len(table) + np.arange(len(mirrored))
            pixels = images.permute(0, 2, 3, 1).contiguous()
            turned = pixels.index_select(0, to_device(mirrored, images.device)).flip(2)
            pixels = torch.cat([pixels, turned]).index_select(0, to_device(places, images.device))
            return pixels.permute(0, 3, 1, 2)
        here = np.arange(side)[None, :]
        rows = np.repeat(here, len(table), axis=0)
        columns = rows
        if spec.flip:
            columns = np.where(table[:, _FLIP, None] < 0.5, side - 1 - columns, columns)
        if spec.vertical_flip:
            rows = np.where(table[:, _UPSIDE, None] < 0.5, side - 1 - rows, rows)
        if shifted:
            rows = np.clip(rows + _integers(table[:, _SHIFT_Y], round(reach_y * side)), 0, side - 1)
            columns = np.clip(columns + _integers(table[:, _SHIFT_X], round(reach_x * side)), 0, side - 1)
        if padded:
            rows = rows + _integers(table[:, _PAD_Y], spec.pad)
            columns = columns + _integers(table[:, _PAD_X], spec.pad)
        return _gather(images, rows, columns, zeros=padded)

    def _warp(self, images: torch.Tensor, table: npt.NDArray[np.float32]) -> torch.Tensor:
        """Crop from the padded image; then shift, rotate, shear, zoom and flip, all in one reading between pixels."""
        spec, side = self.spec, images.shape[2]
        if spec.crop == "pad" and spec.pad > 0:
            here = np.arange(side)[None, :]
            down, right = (_integers(table[:, column], spec.pad) for column in (_PAD_Y, _PAD_X))
            images = _gather(images, here + down, here + right, zeros=True)
        rows, columns = coordinates(self._moves(table, side), side, side)
        if spec.flip:
            rows, columns = (_turned(each, table[:, _FLIP] < 0.5, 2) for each in (rows, columns))
        if spec.vertical_flip:
            rows, columns = (_turned(each, table[:, _UPSIDE] < 0.5, 1) for each in (rows, columns))
        return sample(images, rows, columns, spec.fill, spec.fill_value)

    def _moves(self, table: npt.NDArray[np.float32], side: int) -> Moves:
        """Draw how each image is moved; float64 throughout."""
        spec = self.spec

        def between(column: int, low: float, high: float) -> npt.NDArray[np.float64]:
            drawn: npt.NDArray[np.float64] = low + (high - low) * table[:, column].astype(np.float64)
            return drawn

        def shift(column: int, reach: float) -> npt.NDArray[np.float64]:
            if spec.subpixel:
                return between(column, -reach * side, reach * side)
            return _integers(table[:, column], round(reach * side))[:, 0].astype(np.float64)

        turn, lean = math.radians(spec.rotation), math.radians(spec.shear)
        return Moves(
            rows=shift(_SHIFT_Y, spec.shifts[0]),
            columns=shift(_SHIFT_X, spec.shifts[1]),
            rotation=between(_ROTATION, -turn, turn),
            shear=between(_SHEAR, -lean, lean),
            row_zoom=between(_ROW_ZOOM, *spec.zoom),
            column_zoom=between(_COLUMN_ZOOM, *spec.zoom),
        )

    def _policy(self, images: torch.Tensor, table: npt.NDArray[np.float32]) -> torch.Tensor:
        """Apply RandAugment, TrivialAugment or AugMix by Pillow, on the processor whatever the device."""
        whole = images.round().clamp(0, 255).to(torch.uint8) if images.is_floating_point() else images
        pixels = np.ascontiguousarray(whole.permute(0, 2, 3, 1).cpu().numpy())
        changed = apply_policy(pixels, self.spec, table[:, _POLICY:])
        return to_device(changed, images.device).permute(0, 3, 1, 2)

    def _channel_shift(self, images: torch.Tensor, table: npt.NDArray[np.float32]) -> torch.Tensor:
        """Add one number to all levels of an image, clipped to the range that they had."""
        added = to_device(self.spec.channel_shift * (2 * table[:, _CHANNELS] - 1), images.device).to(images)
        least, most = (end.view(-1, 1, 1, 1) for end in images.flatten(1).aminmax(dim=1))
        return (images + added.view(-1, 1, 1, 1)).clamp(least, most)

    def _brightness(self, images: torch.Tensor, table: npt.NDArray[np.float32]) -> torch.Tensor:
        """Multiply whole levels, round down and clip, as Pillow's ImageEnhance does for Keras."""
        low, high = self.spec.brightness
        factors = to_device((low + (high - low) * table[:, _LEVEL]).astype(np.float32), images.device)
        return (images.to(torch.float32).floor() * factors.view(-1, 1, 1, 1)).floor_().clamp_(0, 255)

    def _cutout(self, images: torch.Tensor, table: npt.NDArray[np.float32]) -> torch.Tensor:
        batch, channels, side = images.shape[:3]
        sides = np.full(batch, self.spec.cutout)
        rows, columns = _spans(table[:, _CUT_Y], table[:, _CUT_X], sides, side, images.device)
        fill = to_device(torch.tensor([round(255 * mean) for mean in self.preprocess.mean]), images.device)
        # Whole lines of bytes, and arithmetic: `torch.where` over three channels is six times as slow on CPUs.
        lines = images.permute(0, 2, 3, 1).contiguous().view(batch, side, side * channels)
        across = columns.to(images.dtype).repeat_interleave(channels, 1)
        hole = rows.to(images.dtype)[:, :, None] * across[:, None, :]
        filled = (lines * (1 - hole)).add_(hole * fill.to(images.dtype).repeat(side))
        return filled.view(batch, side, side, channels).permute(0, 3, 1, 2)

    def _colours(self, images: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        strength = self.spec.color_jitter
        factors = 1 + strength * (2 * table[:, _BRIGHTNESS : _SATURATION + 1] - 1)
        brightness, contrast, saturation = factors.T.view(3, -1, 1, 1, 1)
        weights = to_device(torch.tensor(LUMA), images.device).view(1, 3, 1, 1)
        images = (images * brightness).clamp_(0, 255)
        mean = (images * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
        images = torch.lerp(mean, images, contrast).clamp_(0, 255)
        grey = (images * weights).sum(1, keepdim=True)
        return torch.lerp(grey, images, saturation).clamp_(0, 255)

    def _mix(
        self, images: torch.Tensor, labels: torch.Tensor, table: npt.NDArray[np.float32]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix each image with the one at the mirrored place of the batch."""
        alpha, side, device = self.spec.mixup or self.spec.cutmix, images.shape[2], images.device
        kept = _beta(table[:, _MIX], alpha)
        partners = images.flip(0)
        if self.spec.mixup:
            weight = to_device(kept, device).view(-1, 1, 1, 1)
            images = torch.lerp(partners.to(torch.float32), images.to(torch.float32), weight)
            own = weight[:, :, 0, 0]
        else:
            sides = np.round(side * np.sqrt(1 - kept)).astype(np.int64)
            rows, columns = _spans(table[:, _MIX_Y], table[:, _MIX_X], sides, side, device)
            patch = rows[:, None, :, None] & columns[:, None, None, :]
            images = torch.where(patch, partners, images)
            own = 1 - patch.to(torch.float32).mean((1, 2, 3))[:, None]
        whole = labels if labels.ndim == 2 else torch.nn.functional.one_hot(labels, self.num_classes)
        soft = whole.to(torch.float32)
        return images, own * soft + (1 - own) * soft.flip(0)

    def _resized_crop(self, images: torch.Tensor, table: npt.NDArray[np.float32]) -> torch.Tensor:
        """Crop and resize on the device, bilinear without antialias: for images of one small size."""
        height, width, side = images.shape[2], images.shape[3], self.preprocess.side
        top, left, tall, wide = random_boxes(table, height, width, self.spec).T.astype(np.float32)
        scale = to_device(np.stack([wide / width, tall / height], 1), images.device)
        centre = torch.from_numpy(np.stack([(2 * left + wide) / width - 1, (2 * top + tall) / height - 1], 1))
        grid = torch.linspace(1 / side - 1, 1 - 1 / side, side, device=images.device)
        places = torch.stack(torch.meshgrid(grid, grid, indexing="xy"), -1)[None] * scale[:, None, None]
        sampled = torch.nn.functional.grid_sample(
            images.to(torch.float32),
            places + to_device(centre, images.device)[:, None, None],
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        )
        return sampled.round_().clamp_(0, 255).to(torch.uint8)


def _columns(spec: AugmentSpec) -> int:
    """Return how many numbers per image are drawn: those before the last that an effect reads."""
    if spec.has_policy:
        return _POLICY + POLICY_COLUMNS
    if spec.warps or spec.channel_shift or spec.vertical_flip or spec.brightness != (1.0, 1.0):
        return _ALL_COLUMNS
    return END_BOX_COLUMN if spec.crop == "random_resized" else FIRST_BOX_COLUMN


def _gather(
    images: torch.Tensor, rows: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], *, zeros: bool
) -> torch.Tensor:
    """Return out[b, :, y, x] = images[b, :, rows[b, y], columns[b, x]], and zero outside the image.

    Args:
        images: uint8 (B, 3, H, W); fastest when laid out channels-last.
        rows: (B, S).
        columns: (B, S).
    """
    batch, channels, height, width = images.shape
    pixels = images.permute(0, 2, 3, 1).contiguous()
    side_y, side_x = rows.shape[1], columns.shape[1]
    inside_y, inside_x = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    lines = to_device((inside_y + np.arange(batch)[:, None] * height).reshape(-1), images.device)
    taken = pixels.view(batch * height, width * channels).index_select(0, lines).view(batch, side_y, -1)
    bytes_x = (inside_x[:, :, None] * channels + np.arange(channels)).reshape(batch, 1, -1)
    across = to_device(bytes_x, images.device).expand(batch, side_y, -1)
    out = taken.gather(2, across)
    if zeros:
        seen_y = to_device((inside_y == rows).astype(np.uint8), images.device)
        seen_x = to_device(np.repeat((inside_x == columns).astype(np.uint8), channels, 1), images.device)
        out.mul_(seen_y[:, :, None]).mul_(seen_x[:, None, :])
    return out.view(batch, side_y, side_x, channels).permute(0, 3, 1, 2)


def _integers(uniform: npt.NDArray[np.float32], reach: int) -> npt.NDArray[np.int64]:
    """Map (B,) in [0, 1) to whole numbers (B, 1) from -reach to reach."""
    return np.floor(uniform.astype(np.float64) * (2 * reach + 1)).astype(np.int64)[:, None] - reach


def _turned(places: npt.NDArray[np.float64], chosen: npt.NDArray[np.bool_], axis: int) -> npt.NDArray[np.float64]:
    """Return (B, S, S), reversed along `axis` for the images `chosen`, (B,)."""
    turned: npt.NDArray[np.float64] = np.where(chosen[:, None, None], np.flip(places, axis), places)
    return turned


def _spans(
    y: npt.NDArray[np.float32],
    x: npt.NDArray[np.float32],
    sides: npt.NDArray[np.int64],
    side: int,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return bool (B, S), (B, S): rows and columns of squares whose centres lie anywhere, clipped at the edges."""
    here = np.arange(side)[None, :]
    spans = []
    for centre in (y, x):
        start = np.floor(centre * side).astype(np.int64)[:, None] - sides[:, None] // 2
        spans.append(to_device((here >= start) & (here < start + sides[:, None]), device))
    return spans[0], spans[1]


def _beta(uniform: npt.NDArray[np.float32], alpha: float) -> npt.NDArray[np.float32]:
    """Return quantiles of Beta(alpha, alpha)."""
    from scipy.special import betaincinv  # late: only mixup and cutmix need it

    quantiles: npt.NDArray[np.float32] = betaincinv(alpha, alpha, uniform.astype(np.float64)).astype(np.float32)
    return quantiles
