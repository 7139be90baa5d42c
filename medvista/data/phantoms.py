"""Procedural CT-like slices with known truth.

Each slice is 448 x 448 Hounsfield units: a body, two lungs, a heart, a dense mediastinal mass and one or two lung
nodules about 10 pixels wide, each in a soft haze that makes it visible from afar. What a nodule *is* shows only in its
fine structure: the three kinds have the same mass and the same radial second moment, so they look the same on a
64-pixel overview (`benchmarks/probe.py` measures that), while the native crop separates them. What the mass is made of
shows only outside the lung window, where its three materials saturate to the same white.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from scipy import ndimage

from medvista.types import Box, MedicalImage, Window

RENDERER_VERSION = 2  # raised whenever the same seed gives other pixels, so that caches of older ones are not used
SIZE = 448  # pixels, both sides
LUNG_WINDOW = Window(centre=-350.0, width=1800.0)  # -1250 .. 550 HU; wide, so that no nodule reaches its top
SPACING_MM = (0.8, 0.8)

Kind = Literal["solid", "cavitary", "subsolid"]
Material = Literal["contrast", "calcium", "metal"]
Side = Literal["left", "right"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MATERIALS: tuple[Material, ...] = get_args(Material)
MATERIAL_HU = {"contrast": 750.0, "calcium": 1150.0, "metal": 2800.0}  # all white in the lung window

_STAMP_RADIUS = 30  # half-side of the stamp, pixels
_NODULE_MASS = 15_000.0  # HU x pixels, the same for every kind
_SECOND_MOMENT = 11.0  # mean squared radius, pixels^2, the same for every kind (up to a jitter that hides the rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodule:
    """One lung nodule."""

    centre: tuple[float, float]  # x, y in source pixels
    kind: Kind
    side: Side  # the patient's side: by radiological convention the left lung is on the right of the image

    @property
    def box(self) -> Box:
        """Its extent in source pixels."""
        x, y = self.centre
        return (x - 7.0, y - 7.0, x + 7.0, y + 7.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Phantom:
    """A drawn slice and its truth."""

    image: MedicalImage
    nodules: tuple[Nodule, ...]  # one, or one per lung (right first)
    material: Material
    mass_centre: tuple[float, float]  # x, y in source pixels


def draw_phantom(seed: int, *, nodules: Literal[1, 2] = 1) -> Phantom:
    """The phantom of a seed: the same seed gives the same pixels on every machine.

    Args:
        seed: any non-negative integer.
        nodules: 1 draws a nodule in one lung, 2 draws one in each.
    """
    rng = np.random.default_rng((seed, nodules))
    pixels = np.full((SIZE, SIZE), -1000.0, dtype=np.float32)
    _fill_ellipse(pixels, (224, 228), (205 + rng.uniform(-8, 8), 165 + rng.uniform(-8, 8)), 40.0)
    lungs = {"right": _lung(rng, 130), "left": _lung(rng, 318)}
    for centre, radii in lungs.values():
        _fill_ellipse(pixels, centre, radii, -850.0)
    _fill_ellipse(pixels, (250 + rng.uniform(-8, 8), 265 + rng.uniform(-8, 8)), (46, 38), 40.0)  # heart
    material: Material = MATERIALS[rng.integers(len(MATERIALS))]
    mass_centre = (224 + rng.uniform(-8, 8), 160 + rng.uniform(-12, 12))
    _fill_ellipse(pixels, mass_centre, (24, 24), MATERIAL_HU[material])

    drawn: list[Nodule] = []
    both: tuple[Side, ...] = ("right", "left")
    for side in both if nodules == 2 else (both[rng.integers(2)],):
        kind = _draw_kind(rng, drawn[0].kind if drawn else None)
        nodule = Nodule(centre=_place(rng, *lungs[side]), kind=kind, side=side)
        _stamp(pixels, nodule, rng)
        drawn.append(nodule)
    pixels += _texture(rng)
    image = MedicalImage(
        pixels=np.clip(pixels, -1024, 3071).astype(np.int16), window=LUNG_WINDOW, modality="CT", spacing_mm=SPACING_MM
    )
    return Phantom(image=image, nodules=tuple(drawn), material=material, mass_centre=mass_centre)


def other_kind(kind: Kind, rng: np.random.Generator) -> Kind:
    """Any of the other kinds, each as likely."""
    others = [other for other in KINDS if other != kind]
    return others[rng.integers(len(others))]


def _draw_kind(rng: np.random.Generator, other: Kind | None) -> Kind:
    """Any kind; where another nodule is present, its kind half of the time, so that "the same?" is balanced."""
    if other is None:
        return KINDS[rng.integers(len(KINDS))]
    return other if rng.uniform() < 0.5 else other_kind(other, rng)


def _lung(rng: np.random.Generator, x: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Centre and radii of a lung, pixels."""
    return (x + rng.uniform(-6, 6), 225 + rng.uniform(-8, 8)), (72 + rng.uniform(-6, 6), 118 + rng.uniform(-10, 10))


def _place(rng: np.random.Generator, centre: tuple[float, float], radii: tuple[float, float]) -> tuple[float, float]:
    """A point uniform over the inner part of a lung, clear of the heart."""
    while True:
        angle, radius = rng.uniform(0, 2 * np.pi), 0.78 * np.sqrt(rng.uniform())
        x, y = centre[0] + radii[0] * radius * np.cos(angle), centre[1] + radii[1] * radius * np.sin(angle)
        if ((x - 250) / 70) ** 2 + ((y - 265) / 62) ** 2 > 1:
            return float(x), float(y)


def _fill_ellipse(pixels: np.ndarray, centre: tuple[float, float], radii: tuple[float, float], value: float) -> None:
    """Sets the pixels whose centre lies inside the ellipse."""
    (cx, cy), (rx, ry) = centre, radii
    x0, x1 = max(0, int(cx - rx)), min(SIZE, int(cx + rx) + 2)
    y0, y1 = max(0, int(cy - ry)), min(SIZE, int(cy + ry) + 2)
    x = ((np.arange(x0, x1, dtype=np.float32) + 0.5 - cx) / rx) ** 2
    y = ((np.arange(y0, y1, dtype=np.float32) + 0.5 - cy) / ry) ** 2
    pixels[y0:y1, x0:x1][x[None, :] + y[:, None] <= 1] = value


def _stamp(pixels: np.ndarray, nodule: Nodule, rng: np.random.Generator) -> None:
    """Adds a nodule, placed to a fraction of a pixel, with its own mass, size and haze."""
    mass, size = _NODULE_MASS * rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.2)
    column, row = int(nodule.centre[0]), int(nodule.centre[1])
    offsets = np.arange(-_STAMP_RADIUS, _STAMP_RADIUS + 1, dtype=np.float32) + 0.5
    x = (offsets - (nodule.centre[0] - column))[None, :]
    y = (offsets - (nodule.centre[1] - row))[:, None]
    density = _profile(nodule.kind, np.hypot(x, y) / size)
    span = (
        slice(row - _STAMP_RADIUS, row + _STAMP_RADIUS + 1),
        slice(column - _STAMP_RADIUS, column + _STAMP_RADIUS + 1),
    )
    haze = rng.uniform(240, 360) * np.exp(-0.5 * (np.hypot(x, y) / rng.uniform(8.0, 11.0)) ** 2)
    pixels[span] += mass * density / density.sum() + haze


@lru_cache(maxsize=len(KINDS))
def _scale(kind: Kind) -> float:
    """The magnification that gives a kind the common second moment."""
    axis = (np.arange(-160, 160) + 0.5) / 10
    radius = np.hypot(axis[None, :], axis[:, None])
    density = _shape(kind, radius)
    return float(np.sqrt(_SECOND_MOMENT / ((density * radius**2).sum() / density.sum())))


def _profile(kind: Kind, radius: np.ndarray) -> np.ndarray:
    return _shape(kind, radius / _scale(kind))


def _shape(kind: Kind, radius: np.ndarray) -> np.ndarray:
    """Density of each kind before scaling; `radius` in pixels."""
    if kind == "solid":
        return _inside(radius, 5.5)
    if kind == "cavitary":
        return _inside(radius, 5.5) - 0.95 * _inside(radius, 3.4)
    return 0.25 * _inside(radius, 6.5) + _inside(radius, 2.6)  # subsolid: a faint disc with a dense core


def _inside(radius: np.ndarray, edge: float) -> np.ndarray:
    """A disc with an edge one pixel soft."""
    return np.clip(edge - radius + 0.5, 0.0, 1.0)


@lru_cache(maxsize=1)
def _noise_bank() -> np.ndarray:
    """[1024, 1024] parenchymal texture (correlated over 4 pixels) and detector noise, HU."""
    rng = np.random.default_rng(20_260_107)
    smooth = ndimage.gaussian_filter(rng.standard_normal((1024, 1024)).astype(np.float32), 4.0, mode="wrap")
    return (35.0 * smooth / smooth.std() + 20.0 * rng.standard_normal((1024, 1024))).astype(np.float32)


def _texture(rng: np.random.Generator) -> np.ndarray:
    """[SIZE, SIZE] noise: a random, randomly flipped window of the bank (drawing new noise costs ten times more)."""
    x, y, turn, flip = rng.integers((1024 - SIZE, 1024 - SIZE, 4, 2))
    patch = np.rot90(_noise_bank()[y : y + SIZE, x : x + SIZE], int(turn))
    return patch[:, ::-1] if flip else patch
