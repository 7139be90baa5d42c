"""Masks carried from the image looked at to its source."""

import numpy as np
import pytest
from scipy import ndimage

from medvista.imaging import crop
from medvista.imaging.geometry import scaling, translation
from medvista.imaging.mask_geometry import mask_to_source
from medvista.imaging.outline import outlined
from medvista.types import MedicalImage

SOURCE = MedicalImage(pixels=np.zeros((40, 60), dtype=np.uint8))


def rectangle(shape, top, bottom, left, right):
    mask = np.zeros(shape, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def test_a_mask_on_the_source_itself_stays_as_it_is():
    mask = rectangle((40, 60), 3, 9, 4, 20)
    np.testing.assert_array_equal(mask_to_source(SOURCE, mask, SOURCE.size), mask)


def test_a_mask_on_a_crop_lies_where_the_crop_was_taken():
    part = crop(SOURCE, (10, 5, 30, 25))
    mask = rectangle((20, 20), 2, 6, 3, 9)
    expected = rectangle((40, 60), 7, 11, 13, 19)
    np.testing.assert_array_equal(mask_to_source(part, mask, SOURCE.size), expected)


@pytest.mark.parametrize("factor", [0.5, 2, 4])
def test_a_mask_on_a_resized_view_covers_the_same_part_of_the_source(factor):
    height, width = int(40 * factor), int(60 * factor)
    view = MedicalImage(pixels=np.zeros((height, width), dtype=np.uint8), to_source=scaling(1 / factor, 1 / factor))
    top, bottom, left, right = (int(side * factor) for side in (8, 20, 10, 40))
    mask = rectangle((height, width), top, bottom, left, right)
    np.testing.assert_array_equal(mask_to_source(view, mask, SOURCE.size), rectangle((40, 60), 8, 20, 10, 40))


def test_a_mask_on_a_turned_view_is_turned_back():
    quarter = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 40.0], [0.0, 0.0, 1.0]])  # (x, y) of the view -> (y, 40 - x)
    view = MedicalImage(pixels=np.zeros((60, 40), dtype=np.uint8), to_source=quarter)
    rng = np.random.default_rng(0)
    mask = ndimage.binary_opening(rng.random((60, 40)) > 0.3)
    np.testing.assert_array_equal(mask_to_source(view, mask, SOURCE.size), np.rot90(mask))


def test_what_reaches_beyond_the_source_is_cut():
    view = MedicalImage(pixels=np.zeros((20, 20), dtype=np.uint8), to_source=translation(50, 30))
    full = np.ones((20, 20), dtype=bool)
    np.testing.assert_array_equal(mask_to_source(view, full, SOURCE.size), rectangle((40, 60), 30, 40, 50, 60))


def test_an_empty_mask_stays_empty_and_a_wrong_size_is_refused():
    part = crop(SOURCE, (10, 5, 30, 25))
    assert not mask_to_source(part, np.zeros((20, 20), dtype=bool), SOURCE.size).any()
    with pytest.raises(ValueError, match="does not fit an image of 20 x 20"):
        mask_to_source(part, np.zeros((40, 60), dtype=bool), SOURCE.size)


def test_an_outline_runs_outside_what_it_encloses():
    mask = rectangle((20, 20), 5, 15, 5, 15)
    picture = outlined(np.full((20, 20), 7, dtype=np.uint8), [mask], colours=["#ff0000"])
    assert (picture[mask] == 7).all()
    np.testing.assert_array_equal(picture[4, 10], [255, 0, 0])
    assert (picture[3, 10] == 7).all()
