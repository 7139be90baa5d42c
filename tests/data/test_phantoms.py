"""Phantoms: the same on every draw, and silent about the truth where they are meant to be."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medvista.data.phantoms import (
    _NODULE_MASS,
    _SECOND_MOMENT,
    KINDS,
    LUNG_WINDOW,
    MATERIAL_HU,
    MATERIALS,
    SIZE,
    Material,
    Nodule,
    Phantom,
    _stamp,
    draw_phantom,
)
from medvista.imaging import to_display

N = 240


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [draw_phantom(seed) for seed in range(N)]


def disc(centre: tuple[float, float], radius: float) -> np.ndarray:
    """``[SIZE, SIZE]`` True within a radius of a point."""
    at = np.arange(SIZE) + 0.5
    mask: np.ndarray = np.hypot(at[None, :] - centre[0], at[:, None] - centre[1]) <= radius
    return mask


@pytest.mark.parametrize("nodules", [1, 2])
def test_the_same_seed_gives_the_same_pixels_and_truth(nodules: int) -> None:
    one, other = (draw_phantom(7, nodules=nodules) for _ in range(2))  # type: ignore[arg-type]
    assert np.array_equal(one.image.pixels, other.image.pixels)
    assert (one.nodules, one.material, one.mass_centre) == (other.nodules, other.material, other.mass_centre)


def test_other_seeds_give_other_pixels(phantoms: list[Phantom]) -> None:
    assert len({phantom.image.pixels.tobytes() for phantom in phantoms}) == N


def test_a_phantom_is_a_slice_in_hounsfield_units(phantoms: list[Phantom]) -> None:
    image = phantoms[0].image
    assert (image.pixels.shape, image.pixels.dtype, image.modality) == ((SIZE, SIZE), np.int16, "CT")
    assert abs(np.median(image.pixels[:20, :20]) + 1000) < 60  # air around the body


@pytest.mark.parametrize("nodules", [1, 2])
def test_nodules_lie_in_the_lung_their_side_says_by_radiological_convention(nodules: int) -> None:
    for seed in range(60):
        phantom = draw_phantom(seed, nodules=nodules)  # type: ignore[arg-type]
        assert len(phantom.nodules) == nodules
        for nodule in phantom.nodules:
            assert (nodule.centre[0] > SIZE / 2) == (nodule.side == "left")
            ring = disc(nodule.centre, 28) & ~disc(nodule.centre, 25)
            assert np.median(phantom.image.pixels[ring]) < -500  # lung all around
            assert phantom.image.pixels[disc(nodule.centre, 6)].mean() > np.median(phantom.image.pixels[ring]) + 100
    if nodules == 2:
        assert {nodule.side for nodule in phantom.nodules} == {"left", "right"}


@pytest.mark.parametrize("centre", [(100.0, 100.0), (100.5, 100.25), (100.9, 99.7)])
def test_drawn_kinds_have_the_same_mass_and_the_same_second_moment(centre: tuple[float, float]) -> None:
    moments = []
    for kind in KINDS:
        pixels = np.zeros((200, 200))
        _stamp(
            pixels, Nodule(centre=centre, kind=kind, side="right"), np.random.default_rng(3)
        )  # the same size and haze
        at = np.arange(200) + 0.5
        squared = (at[None, :] - centre[0]) ** 2 + (at[:, None] - centre[1]) ** 2
        moments.append((pixels.sum(), (pixels * squared).sum()))
    masses, seconds = np.array(moments).T
    assert np.ptp(masses) < 1e-3 * masses.mean()
    # Next to the haze, which all have; of the nodule alone it is the second moment up to the grid of whole pixels.
    assert np.ptp(seconds) < 0.02 * _NODULE_MASS * _SECOND_MOMENT


def test_the_native_pixels_tell_the_kinds_apart(phantoms: list[Phantom]) -> None:
    rings = []
    for phantom in phantoms:
        (nodule,) = phantom.nodules
        edges = [disc(nodule.centre, radius) for radius in (1.5, 3, 4.5, 6, 7.5, 9)]
        rings.append([phantom.image.pixels[b & ~a].mean() for a, b in pairwise([np.zeros_like(edges[0]), *edges])])
    kinds = [phantom.nodules[0].kind for phantom in phantoms]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    assert cross_val_score(model, np.array(rings), kinds, cv=5).mean() > 0.9


@pytest.mark.parametrize("material", MATERIALS)
def test_the_lung_window_shows_every_material_as_the_same_white(phantoms: list[Phantom], material: Material) -> None:
    masses = [phantom for phantom in phantoms if phantom.material == material]
    shown = [to_display(phantom.image)[disc(phantom.mass_centre, 23)] for phantom in masses]
    assert all((pixels == 255).all() for pixels in shown)


def test_the_lung_window_cuts_no_nodule_off(phantoms: list[Phantom]) -> None:
    # Where only some kinds reached its top, the missing mass would give them away on the overview.
    for phantom in phantoms:
        assert (
            phantom.image.pixels[disc(phantom.nodules[0].centre, 8)].max() < LUNG_WINDOW.centre + LUNG_WINDOW.width / 2
        )


def test_the_hounsfield_units_tell_the_materials_apart(phantoms: list[Phantom]) -> None:
    for phantom in phantoms:
        measured = phantom.image.pixels[disc(phantom.mass_centre, 20)].mean()
        nearest = min(MATERIALS, key=lambda material: abs(MATERIAL_HU[material] - measured))
        assert nearest == phantom.material
