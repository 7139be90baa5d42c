"""Views of phantoms with a label for every visual token: the dense task on which the nano vision tower is pre-trained.

A vision tower that starts from noise stays at chance for hundreds of policy updates, so it first learns to *see*: which
token holds a nodule and where on the expert's grid (overview), its kind (crop), the material of the mass (bone window).
It never sees a question. A pre-trained hub model needs none of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from medvista.data.phantoms import KINDS, MATERIALS, SIZE, Phantom
from medvista.imaging import crop, fit
from medvista.types import MedicalImage, Window

CLASSES = ("nothing", "nodule", *KINDS, *MATERIALS)  # "nodule": on an overview, where its kind cannot be read
BONE_WINDOW = Window(centre=500.0, width=2000.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledViews:
    """Views and their token labels."""

    pixels: np.ndarray  # [N, S, S] uint8
    classes: np.ndarray  # [N, tokens] index into CLASSES
    columns: np.ndarray  # [N, tokens] grid column of an overview's nodule, `grid` at every other token
    rows: np.ndarray  # [N, tokens] grid row of it, `grid` at every other token


def labelled_views(
    phantoms: Sequence[Phantom], *, view_size: int, tokens: int, grid: int, crops: int, seed: int
) -> LabelledViews:
    """An overview, a bone-window overview and some crops of each phantom.

    Args:
        phantoms: what to look at.
        view_size: side of a view in pixels.
        tokens: visual tokens along a side.
        grid: cells along a side of the expert's grid.
        crops: crops a phantom; each holds a nodule somewhere, one in eight nothing.
        seed: of the crops' places.
    """
    rng = np.random.default_rng(seed)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    for phantom in phantoms:
        found.append(_overview(phantom, view_size, tokens, grid))
        found.append(_bone(phantom, view_size, tokens, grid))
        found.extend(_crop(phantom, view_size, tokens, grid, rng) for _ in range(crops))
    pixels, classes, columns, rows = (np.stack(part) for part in zip(*found, strict=True))
    return LabelledViews(pixels=pixels, classes=classes, columns=columns, rows=rows)


def _overview(phantom: Phantom, view_size: int, tokens: int, grid: int) -> tuple[np.ndarray, ...]:
    classes, columns, rows = _blank(tokens, grid)
    for nodule in phantom.nodules:
        token = _token(nodule.centre, SIZE, tokens)
        classes[token] = CLASSES.index("nodule")
        columns[token] = int(nodule.centre[0] / SIZE * grid)
        rows[token] = int(nodule.centre[1] / SIZE * grid)
    return _view(phantom.image, view_size), classes, columns, rows


def _bone(phantom: Phantom, view_size: int, tokens: int, grid: int) -> tuple[np.ndarray, ...]:
    classes, columns, rows = _blank(tokens, grid)
    classes[_token(phantom.mass_centre, SIZE, tokens)] = CLASSES.index(phantom.material)
    return _view(replace(phantom.image, window=BONE_WINDOW), view_size), classes, columns, rows


def _crop(
    phantom: Phantom, view_size: int, tokens: int, grid: int, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    classes, columns, rows = _blank(tokens, grid)
    side = 2 * SIZE // grid
    x, y = phantom.nodules[rng.integers(len(phantom.nodules))].centre
    left, top = (int(c - side * rng.uniform(0.1, 0.9)) for c in (x, y))
    if rng.uniform() < 1 / 8:
        left, top = rng.integers(0, SIZE - side, size=2)
    left, top = (int(min(max(edge, 0), SIZE - side)) for edge in (left, top))
    for nodule in phantom.nodules:
        at = nodule.centre[0] - left, nodule.centre[1] - top
        if all(0 <= c < side for c in at):
            classes[_token(at, side, tokens)] = CLASSES.index(nodule.kind)
    return _view(crop(phantom.image, (left, top, left + side, top + side)), view_size), classes, columns, rows


def _blank(tokens: int, grid: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n = tokens * tokens
    return np.zeros(n, dtype=np.int64), np.full(n, grid), np.full(n, grid)


def _token(point: tuple[float, float], side: float, tokens: int) -> int:
    """Index of the visual token that shows a point of a square image."""
    return int(point[1] / side * tokens) * tokens + int(point[0] / side * tokens)


def _view(image: MedicalImage, view_size: int) -> np.ndarray:
    return fit(image, view_size).pixels
