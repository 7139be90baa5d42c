"""Where the body's midline runs: the axis about which an image is most alike on both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from medvista.imaging.display import to_display
from medvista.types import MedicalImage

_SIDE = 128  # pixels of the copy that is searched: the midline is a coarse property
_CENTRAL = 0.5  # share of the width in which the axis is looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Midline:
    """A vertical axis of mirror symmetry."""

    x: float  # pixels of the image
    correlation: float  # of the image with its mirror image about the axis, -1 to 1; 0 where the image is one grey


def find_midline(image: MedicalImage) -> Midline:
    """The vertical axis, in the middle half of the image, about which it correlates best with its own mirror image.

    The correlation is Pearson's, over the columns that have a partner on the other side. A tilted body is not set
    upright first.

    Args:
        image: an axial or coronal image, or a frontal radiograph, as it is displayed.
    """
    small = _shrink(image)
    width = small.shape[1]
    # Column i mirrors to column s - i about the axis x = (s + 1) / 2, so s counts in half columns.
    first, last = (round(width * share - 1) for share in (1 - _CENTRAL, 1 + _CENTRAL))
    sums = np.arange(max(first, 1), max(last, 1) + 1)
    scores = np.array([_mirror_correlation(small, total) for total in sums])
    best = int(scores.argmax())
    total = sums[best] + _peak_offset(scores, best)
    return Midline(x=float(total + 1) / 2 * image.size[0] / width, correlation=float(scores[best]))


def _shrink(image: MedicalImage) -> np.ndarray:
    display = Image.fromarray(to_display(image)).convert("L")
    scale = min(_SIDE / max(display.size), 1.0)
    size = max(round(display.width * scale), 2), max(round(display.height * scale), 1)
    return np.asarray(display.resize(size, Image.Resampling.BOX), dtype=np.float64)


def _mirror_correlation(grey: np.ndarray, total: int) -> float:
    low, high = max(0, total - grey.shape[1] + 1), min(grey.shape[1] - 1, total)
    part = grey[:, low : high + 1]
    part = part - part.mean()
    power = float((part * part).sum())
    return float((part * part[:, ::-1]).sum()) / power if power > 0 else 0.0


def _peak_offset(scores: np.ndarray, best: int) -> float:
    """Where between its neighbours the peak lies, by the parabola through the three of them."""
    if not 0 < best < len(scores) - 1:
        return 0.0
    before, at, after = scores[best - 1 : best + 2]
    bend = before - 2 * at + after
    return float((before - after) / (2 * bend)) if bend < 0 else 0.0
