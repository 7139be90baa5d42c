"""Views of phantoms with labels and captions: what the nano model is pre-trained on.

A model that starts from noise stays at chance for hundreds of policy updates, so it first learns to *see*, in two
steps. The vision tower learns a label for every visual token: which one holds a nodule and where on the grid
(overview), its kind (crop), the material of the mass (bone window). Then the whole model learns to *caption* single
views: where the nodule is, its kind (a guess, where a crop shows none) and whether it is the one that was named, the
material. It meets no episode, no tool and no second image; those are the policy's to learn. A pre-trained hub model
brings such skills along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from medvista.data.expert import ScriptedExpert
from medvista.data.phantoms import KINDS, MATERIALS, SIZE, Kind, Phantom, other_kind
from medvista.imaging import crop, fit
from medvista.settings import ExpertConfig
from medvista.types import MedicalImage, Window

Labels = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # a view's pixels, classes, columns, rows

CLASSES = ("nothing", "nodule", *KINDS, *MATERIALS)  # "nodule": on an overview, where its kind cannot be read
BONE_WINDOW = Window(centre=500.0, width=2000.0)
_MISSED_SHARE = 0.4  # of captioned crops


@dataclass(frozen=True, kw_only=True, eq=False)
class CaptionedView:
    """A view and what is to be said of it."""

    view: MedicalImage  # as the policy sees it
    caption: str
    prompt: str = "Describe the image."


def captioned_views(
    phantoms: Sequence[Phantom], *, view_size: int, grid: int, cells: int, seed: int
) -> list[CaptionedView]:
    """An overview, two crops and a bone-window view of each phantom, with captions.

    The caption of an overview names every nodule and its place, in the order in which an expert looks at them.

    The captions of crops end with an answer to their prompts: which kind it is, or whether it is the one named there.
    A small model from scratch has no notion of the same word in two places, which any pre-trained language model brings
    along: it would not say what it has just thought.

    Args:
        phantoms: what to look at.
        view_size: side of a view in pixels.
        grid: cells along a side of the grid that boxes are snapped to.
        cells: side of a box in cells.
        seed: of the crops' places.
    """
    rng = np.random.default_rng(seed)
    expert = ScriptedExpert(ExpertConfig(grid=grid, cells=cells))
    views = []
    for phantom in phantoms:
        overview = fit(phantom.image, view_size)
        boxes = [expert.box_around(nodule.box, phantom.image.size) for nodule in phantom.nodules]
        places = [f"A nodule in the {n.side} lung at {box}." for n, box in zip(phantom.nodules, boxes, strict=True)]
        views.append(CaptionedView(view=overview, caption=" ".join(places)))
        part, kind = _random_crop(phantom, cells * SIZE // grid, rng)
        prompt, caption = "What kind is the nodule?", f"It is {kind}.\n{kind}"
        views.append(CaptionedView(view=fit(part, view_size), caption=caption, prompt=prompt))
        part, kind = _random_crop(phantom, cells * SIZE // grid, rng)
        named, verdict = (kind, "yes") if rng.uniform() < 0.5 else (other_kind(kind, rng), "no")
        prompt, caption = f"Is the nodule {named}?", f"It is {kind}.\n{verdict}"
        views.append(CaptionedView(view=fit(part, view_size), caption=caption, prompt=prompt))
        bone = fit(replace(phantom.image, window=BONE_WINDOW), view_size)
        views.append(CaptionedView(view=bone, caption=f"It is {phantom.material}."))
    return views


def _random_crop(phantom: Phantom, side: int, rng: np.random.Generator) -> tuple[MedicalImage, Kind]:
    """A square crop that holds a nodule somewhere, and its kind; or one from anywhere, and any kind.

    A policy that looked in the wrong place is left with a guess. Without the second sort of crop it would not guess a
    kind there but call what it sees a material, and score below chance.
    """
    nodule = phantom.nodules[rng.integers(len(phantom.nodules))]
    if rng.uniform() < _MISSED_SHARE:
        left, top = (int(edge) for edge in rng.integers(0, SIZE - side, size=2))
        if not (left <= nodule.centre[0] < left + side and top <= nodule.centre[1] < top + side):
            return crop(phantom.image, (left, top, left + side, top + side)), KINDS[rng.integers(len(KINDS))]
    left, top = (int(min(max(c - side * rng.uniform(0.15, 0.85), 0), SIZE - side)) for c in nodule.centre)
    return crop(phantom.image, (left, top, left + side, top + side)), nodule.kind


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
        crops: crops per phantom; each holds a nodule somewhere, one in eight nothing.
        seed: of the crops' places.
    """
    rng = np.random.default_rng(seed)
    found: list[Labels] = []
    for phantom in phantoms:
        found.append(_overview(phantom, view_size, tokens, grid))
        found.append(_bone(phantom, view_size, tokens, grid))
        found.extend(_crop(phantom, view_size, tokens, grid, rng) for _ in range(crops))
    pixels, classes, columns, rows = (np.stack(part) for part in zip(*found, strict=True))
    return LabelledViews(pixels=pixels, classes=classes, columns=columns, rows=rows)


def _overview(phantom: Phantom, view_size: int, tokens: int, grid: int) -> Labels:
    classes, columns, rows = _blank(tokens, grid)
    for nodule in phantom.nodules:
        token = _token(nodule.centre, SIZE, tokens)
        classes[token] = CLASSES.index("nodule")
        columns[token] = int(nodule.centre[0] / SIZE * grid)
        rows[token] = int(nodule.centre[1] / SIZE * grid)
    return _view(phantom.image, view_size), classes, columns, rows


def _bone(phantom: Phantom, view_size: int, tokens: int, grid: int) -> Labels:
    classes, columns, rows = _blank(tokens, grid)
    classes[_token(phantom.mass_centre, SIZE, tokens)] = CLASSES.index(phantom.material)
    return _view(replace(phantom.image, window=BONE_WINDOW), view_size), classes, columns, rows


def _crop(phantom: Phantom, view_size: int, tokens: int, grid: int, rng: np.random.Generator) -> Labels:
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
