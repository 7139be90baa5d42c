"""How a picture becomes the square a segmentation model reads, and how a mask comes back from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, kw_only=True)
class InputView:
    """Resizing and normalisation as a checkpoint was trained with.

    transformers has image processors for these models, too, but those of SAM 2 and SAM 3 need torchvision, and those of
    MedSAM's checkpoints do not say how MedSAM was trained.
    """

    side: int  # pixels per side of what the model reads
    stretch: bool  # True: both sides become `side`; False: the longer one does, and zeros follow right and below
    mean: tuple[float, ...] | None = None  # of RGB in 0-1; None: each picture's own minimum .. maximum becomes 0 .. 1
    std: tuple[float, ...] | None = None

    def tensor(self, picture: np.ndarray) -> Tensor:
        """A display ``[H, W]`` or ``[H, W, 3]`` uint8 as the model reads it, ``[1, 3, side, side]`` float32."""
        width, height = self._inner_size(picture.shape)
        resized = Image.fromarray(picture).convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
        pixels = self._normalise(np.asarray(resized, dtype=np.float32))
        padded = np.zeros((self.side, self.side, 3), dtype=np.float32)  # after normalising, so that the rim is 0
        padded[:height, :width] = pixels
        return torch.from_numpy(padded).permute(2, 0, 1)[None]

    def points(self, points: Sequence[Sequence[float]], shape: Sequence[int]) -> Tensor:
        """Points ``(x, y)`` of a picture of that shape, in pixels of the model's square, ``[points, 2]`` float32."""
        width, height = self._inner_size(shape)
        scale = torch.tensor([width / shape[1], height / shape[0]], dtype=torch.float64)
        # SAM counts from the centre of the first pixel and adds half a pixel itself; we count from its corner.
        return (torch.tensor(points, dtype=torch.float64) * scale - 0.5).float()

    def mask(self, logits: Tensor, shape: Sequence[int]) -> np.ndarray:
        """A model's mask ``[h, w]`` as one of the picture of that shape, ``[H, W]`` bool."""
        grid = logits[None, None].float()
        if not self.stretch:
            width, height = self._inner_size(shape)
            grid = F.interpolate(grid, (self.side, self.side), mode="bilinear", align_corners=False)
            grid = grid[..., :height, :width]
        full = F.interpolate(grid, (shape[0], shape[1]), mode="bilinear", align_corners=False)
        return (full[0, 0] > 0).cpu().numpy()

    def _inner_size(self, shape: Sequence[int]) -> tuple[int, int]:
        """Width and height of the picture inside the square."""
        if self.stretch:
            return self.side, self.side
        height, width = shape[:2]
        scale = self.side / max(height, width)
        return max(int(width * scale + 0.5), 1), max(int(height * scale + 0.5), 1)

    def _normalise(self, pixels: np.ndarray) -> np.ndarray:
        if self.mean is None or self.std is None:
            low, high = pixels.min(), pixels.max()
            return (pixels - low) / max(high - low, 1e-8)
        return (pixels / 255.0 - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
