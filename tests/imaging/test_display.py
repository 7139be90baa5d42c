"""Grey values to 8 bits."""

import numpy as np
import pytest

from medvista.imaging import default_window, to_display
from medvista.types import MedicalImage, Window


def test_a_window_maps_its_ends_to_black_and_white():
    pixels = np.array([[-2000, -1350, -600, 150, 3000]], dtype=np.int16)
    shown = to_display(MedicalImage(pixels=pixels, window=Window(centre=-600, width=1500)))
    assert shown.dtype == np.uint8
    assert shown.tolist() == [[0, 0, 128, 255, 255]]


def test_display_agrees_with_the_formula_in_float64():
    pixels = np.random.default_rng(0).integers(-1024, 3072, (64, 64)).astype(np.int16)
    window = Window(centre=40, width=400)
    exact = np.clip((pixels.astype(np.float64) - (-160)) / 400 * 255, 0, 255)
    assert np.abs(to_display(MedicalImage(pixels=pixels), window) - exact).max() <= 0.5 + 1e-4


def test_8_bit_images_are_shown_as_they_are():
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(to_display(MedicalImage(pixels=pixels)), pixels)


def test_colour_is_shown_as_it_is_whatever_the_window():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    assert np.array_equal(to_display(MedicalImage(pixels=pixels), Window(centre=0, width=1)), pixels)


def test_without_a_window_minimum_is_black_and_maximum_white():
    assert to_display(MedicalImage(pixels=np.array([[100, 4000]], dtype=np.uint16))).tolist() == [[0, 255]]


def test_a_constant_image_has_a_window_too():
    assert default_window(np.full((3, 3), 7, dtype=np.int16)).centre == 7
    assert to_display(MedicalImage(pixels=np.full((3, 3), 7, dtype=np.int16))).shape == (3, 3)


@pytest.mark.filterwarnings("error")
def test_missing_values_are_black_and_do_not_set_the_window():
    pixels = np.array([[np.nan, 0.0, 1.0, np.inf]], dtype=np.float32)
    assert to_display(MedicalImage(pixels=pixels)).tolist() == [[0, 0, 255, 255]]
    assert to_display(MedicalImage(pixels=np.full((1, 2), np.nan))).tolist() == [[0, 0]]


@pytest.mark.filterwarnings("error")
def test_a_window_without_width_is_a_step():
    shown = to_display(MedicalImage(pixels=np.array([[-1, 1]], dtype=np.int16)), Window(centre=0, width=0))
    assert shown.tolist() == [[0, 255]]
