"""Crops and resized views keep their place on the source."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvista.imaging import box_to_source, crop, fit, to_display
from medvista.types import MedicalImage, Window


def ramp(width=448, height=300, **fields):
    """Grey values that name their place: value = 1000 * row + column."""
    rows, columns = np.mgrid[:height, :width]
    return MedicalImage(pixels=(1000 * rows + columns).astype(np.int32), **fields)


def test_a_crop_holds_the_source_pixels_of_its_box():
    part = crop(ramp(), (10, 20, 14, 23))
    assert part.pixels.tolist() == [[1000 * row + column for column in range(10, 14)] for row in range(20, 23)]
    assert box_to_source(part, (0, 0, 4, 3)) == (10, 20, 14, 23)


def test_sides_are_rounded_and_clipped_and_one_pixel_is_kept():
    assert crop(ramp(), (9.6, 19.5, 13.6, 23.4)).pixels[0, 0] == 20010
    assert crop(ramp(), (-5, -5, 1e6, 1e6)).size == (448, 300)
    assert crop(ramp(), (448, 300, 448, 300)).pixels.tolist() == [[299447]]


def test_a_crop_is_shown_with_the_contrast_of_its_source():
    image = ramp()
    assert np.array_equal(to_display(crop(image, (50, 60, 90, 80))), to_display(image)[60:80, 50:90])


@given(st.data())
def test_a_crop_of_crops_knows_its_source(data):
    image = ramp()
    for _ in range(3):
        width, height = image.size
        x1, y1 = data.draw(st.floats(0, width)), data.draw(st.floats(0, height))
        image = crop(image, (x1, y1, data.draw(st.floats(x1, width)), data.draw(st.floats(y1, height))))
    x, y, _ = image.to_source @ (0, 0, 1)
    assert image.pixels[0, 0] == 1000 * y + x


def test_downscaling_averages_fine_structure_out_and_keeps_the_coarse():
    rows, columns = np.mgrid[:448, :448]
    fine = (255 * ((rows + columns) % 2)).astype(np.uint8)
    assert np.abs(fit(MedicalImage(pixels=fine), 64).pixels.astype(int) - 127.5).max() <= 3
    coarse = (columns / 2).astype(np.uint8)
    means = coarse.reshape(64, 7, 64, 7).mean(axis=(1, 3))
    assert np.abs(fit(MedicalImage(pixels=coarse), 64).pixels - means)[:, 2:-2].max() <= 1


def test_the_longer_side_is_fitted_and_the_place_is_kept():
    view = fit(ramp(), 64)
    assert view.size == (64, 43)
    assert view.pixels.dtype == np.uint8
    assert box_to_source(view, (0, 0, 64, 43)) == pytest.approx((0, 0, 448, 300))


def test_upscaling_keeps_the_place_of_a_crop():
    view = fit(crop(ramp(), (10, 20, 42, 36)), 64)
    assert view.size == (64, 32)
    assert box_to_source(view, (0, 0, 64, 32)) == pytest.approx((10, 20, 42, 36))


def test_spacing_follows_the_resize():
    view = fit(ramp(448, 448, spacing_mm=(0.5, 0.5)), 64)
    assert view.spacing_mm == pytest.approx((3.5, 3.5))


def test_pixels_that_are_not_square_are_shown_in_their_true_proportions():
    coronal = ramp(100, 20, spacing_mm=(2.5, 0.5))  # 50 mm x 50 mm
    view = fit(coronal, 60)
    assert view.size == (60, 60)
    assert view.spacing_mm == pytest.approx((50 / 60, 50 / 60))
    assert box_to_source(view, (0, 0, 30, 60)) == pytest.approx((0, 0, 50, 20))


def test_fitting_applies_the_window_once():
    image = MedicalImage(pixels=np.array([[-600, 150]], dtype=np.int16), window=Window(centre=-600, width=1500))
    view = fit(image, 2)
    assert view.pixels.tolist() == [[128, 255]]
    assert np.array_equal(fit(view, 2).pixels, view.pixels)


def test_a_sliver_keeps_one_pixel():
    assert fit(MedicalImage(pixels=np.zeros((1, 3000), dtype=np.uint8)), 64).size == (64, 1)
