"""Boxes between the model, an image and its source."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvista.imaging import box_from_model, box_from_source, box_to_model, box_to_source, map_box
from medvista.imaging.geometry import clip_box, scaling, translation
from medvista.types import MedicalImage


def test_a_box_of_the_whole_image_is_0_to_1000():
    assert box_to_model((0, 0, 448, 300), (448, 300)) == (0, 0, 1000, 1000)
    assert box_from_model((0, 0, 1000, 1000), (448, 300)) == (0, 0, 448, 300)


def test_a_box_beyond_the_image_is_clipped_towards_the_model():
    assert box_to_model((-5, 10, 500, 20), (100, 100)) == (0, 100, 1000, 200)


@given(st.integers(8, 1000), st.data())
def test_whole_pixel_boxes_survive_the_model_up_to_1000_pixels(side, data):
    box = tuple(data.draw(st.integers(0, side)) for _ in range(4))
    back = box_from_model(box_to_model(box, (side, side)), (side, side))
    assert [round(value) for value in back] == list(box)


def test_mapping_composes_as_affines_do():
    first, second = scaling(2, 3), translation(5, 7)
    box = (1.0, 1.0, 4.0, 6.0)
    assert map_box(second, map_box(first, box)) == map_box(second @ first, box) == (7, 10, 13, 25)


def test_a_rotated_box_is_enclosed():
    quarter_turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    assert map_box(quarter_turn, (0, 0, 2, 1)) == (-1, 0, 0, 2)


def test_source_and_image_boxes_are_inverse():
    image = MedicalImage(pixels=np.zeros((10, 10)), to_source=translation(64, 96) @ scaling(0.5, 2))
    box = (1.0, 2.0, 3.0, 4.0)
    assert box_to_source(image, box) == (64.5, 100, 65.5, 104)
    assert box_from_source(image, box_to_source(image, box)) == pytest.approx(box)


def test_clipping_keeps_the_part_inside():
    assert clip_box((-1, 2, 30, 40), (20, 10)) == (0, 2, 20, 10)
