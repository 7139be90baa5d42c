"""Turned and mirrored images hold the right pixels and know where they lie."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medvista.imaging.geometry import map_box
from medvista.imaging.rotate import flip, quarter_turn, rotate
from medvista.types import MedicalImage

LETTERS = MedicalImage(pixels=np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint16), spacing_mm=(2.0, 1.0))


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (1, [[4, 1], [5, 2], [6, 3]]),
        (2, [[6, 5, 4], [3, 2, 1]]),
        (3, [[3, 6], [2, 5], [1, 4]]),
        (-1, [[3, 6], [2, 5], [1, 4]]),
        (4, [[1, 2, 3], [4, 5, 6]]),
    ],
)
def test_a_quarter_turn_is_clockwise_and_copies_pixels(turns, expected):
    turned = quarter_turn(LETTERS, turns)
    assert turned.pixels.tolist() == expected
    assert turned.pixels.dtype == np.uint16
    assert turned.spacing_mm == ((1.0, 2.0) if turns % 2 else (2.0, 1.0))
    for row in range(turned.size[1]):
        for column in range(turned.size[0]):
            x1, y1, x2, y2 = map_box(turned.to_source, (column, row, column + 1, row + 1))
            assert (x2 - x1, y2 - y1) == (1, 1)
            assert turned.pixels[row, column] == LETTERS.pixels[round(y1), round(x1)]


@pytest.mark.parametrize(
    ("direction", "expected"), [("horizontal", [[3, 2, 1], [6, 5, 4]]), ("vertical", [[4, 5, 6], [1, 2, 3]])]
)
def test_a_flip_knows_where_its_pixels_lie(direction, expected):
    mirrored = flip(LETTERS, direction)
    assert mirrored.pixels.tolist() == expected
    x1, y1, _, _ = map_box(mirrored.to_source, (0, 0, 1, 1))
    assert LETTERS.pixels[int(y1), int(x1)] == mirrored.pixels[0, 0]


def ramps(width=40, height=30, spacing=None):
    """Two images whose grey values are their own x and y, at the middle of each pixel."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
    return [MedicalImage(pixels=values, spacing_mm=spacing) for values in (columns, rows)]


@settings(max_examples=40, deadline=None)
@given(st.floats(-360, 360), st.sampled_from([None, (1.0, 1.0), (2.5, 0.5), (0.5, 1.0)]))
def test_any_turn_shows_at_each_place_the_grey_value_of_its_source(degrees, spacing):
    across, down = (rotate(image, degrees) for image in ramps(spacing=spacing))
    rows, columns = np.mgrid[: across.size[1], : across.size[0]] + 0.5
    x, y, _ = np.tensordot(across.to_source, np.stack([columns, rows, np.ones_like(rows)]), axes=1)
    inside = (x > 1) & (x < 39) & (y > 1) & (y < 29)  # beyond lie margin and half-covered pixels
    assert inside.any()
    assert np.abs(across.pixels - x)[inside].max() < 0.01
    assert np.abs(down.pixels - y)[inside].max() < 0.01


def test_the_canvas_holds_the_whole_image():
    turned = rotate(MedicalImage(pixels=np.ones((30, 40), np.float32)), 45)
    assert turned.size == (50, 50)  # (30 + 40) / sqrt(2) = 49.5
    assert turned.pixels.min() == 1  # the margin has the smallest grey value


def test_a_turn_happens_in_millimetres():
    image = MedicalImage(pixels=np.zeros((20, 100), np.int16), spacing_mm=(2.5, 0.5))  # a square of 50 mm
    turned = rotate(image, 30)
    assert turned.spacing_mm == (0.5, 0.5)
    side = 100 * (np.cos(np.pi / 6) + np.sin(np.pi / 6))
    assert turned.size == (pytest.approx(side, abs=2), pytest.approx(side, abs=2))


def test_turning_time_and_again_does_not_add_margins():
    whole = image = MedicalImage(pixels=np.zeros((60, 80), np.uint8))
    for _ in range(10):
        image = rotate(image, 33, whole=whole)
    assert max(image.size) <= 102  # the diagonal is 100


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
def test_the_kind_of_pixels_is_kept(dtype):
    image = MedicalImage(pixels=np.arange(300).reshape(15, 20).astype(dtype))
    assert rotate(image, 10).pixels.dtype == dtype
    assert rotate(MedicalImage(pixels=np.zeros((5, 6, 3), np.uint8)), 10).pixels.shape[2] == 3


def test_missing_values_do_not_spread():
    pixels = np.ones((20, 20), np.float32)
    pixels[0, 0] = np.nan
    assert np.isfinite(rotate(MedicalImage(pixels=pixels), 45).pixels).all()
