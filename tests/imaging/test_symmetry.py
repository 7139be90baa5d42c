"""The midline of a body."""

import numpy as np
import pytest

from medvista.imaging.symmetry import find_midline
from medvista.types import MedicalImage, Window


def body(centre: float, width: int = 300, height: int = 200) -> np.ndarray:
    """Two lungs in a chest, symmetric about x = centre, with a heart on one side and a gradient of exposure."""
    y, x = np.mgrid[:height, :width] + 0.5

    def ellipse(cx: float, cy: float, rx: float, ry: float) -> np.ndarray:
        return ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1

    grey = np.where(ellipse(centre, 100, 95, 80), 180.0, 0.0)
    grey[ellipse(centre - 45, 95, 28, 50) | ellipse(centre + 45, 95, 28, 50)] = 60.0
    grey[ellipse(centre + 12, 120, 22, 20)] = 200.0
    return grey + x / 20


@pytest.mark.parametrize("centre", [110.0, 150.0, 171.5])
def test_the_axis_of_a_body_off_the_middle_is_found_within_two_percent_of_the_width(centre):
    found = find_midline(MedicalImage(pixels=body(centre).astype(np.uint8)))
    assert found.x == pytest.approx(centre, abs=6)
    assert found.correlation > 0.8


@pytest.mark.parametrize("width", [2, 3, 64, 65, 128])
def test_an_image_symmetric_to_the_pixel_has_its_axis_there(width):
    half = np.random.default_rng(0).integers(0, 255, (40, (width + 1) // 2)).astype(np.uint8)
    pixels = np.concatenate([half, half[:, : width // 2][:, ::-1]], axis=1)
    found = find_midline(MedicalImage(pixels=pixels))
    assert found.correlation == pytest.approx(1.0)
    assert found.x == pytest.approx(width / 2, abs=0.25)


def test_the_axis_follows_the_display():
    pixels = body(120.0).astype(np.int16) - 1000
    shown = MedicalImage(pixels=pixels, window=Window(centre=-900, width=300))
    assert find_midline(shown).x == pytest.approx(120, abs=6)
    colour = MedicalImage(pixels=np.stack([body(120.0).astype(np.uint8)] * 3, axis=-1))
    assert find_midline(colour).x == pytest.approx(120, abs=6)


def test_an_image_of_one_grey_has_no_midline():
    assert find_midline(MedicalImage(pixels=np.full((30, 40), 7, np.uint8))).correlation == 0.0


def test_noise_has_no_midline_worth_the_name():
    noise = np.random.default_rng(0).integers(0, 255, (100, 100)).astype(np.uint8)
    assert find_midline(MedicalImage(pixels=noise)).correlation < 0.3
