"""Boxes on pictures for people."""

import numpy as np
from PIL import Image

from medvista.imaging import draw_boxes


def test_a_box_is_drawn_around_what_it_encloses():
    blank = Image.new("RGB", (100, 100))
    drawn = np.asarray(draw_boxes(blank, [(20, 30, 40, 60)], colours=["#ff0000"]))
    red = drawn[..., 0] == 255
    assert not red[30:60, 20:40].any()
    assert red[29, 20:40].all()
    assert red[60, 20:40].all()
    assert red[30:60, 19].all()
    assert red[30:60, 40].all()
    assert np.asarray(blank).max() == 0


def test_a_box_may_reach_beyond_the_picture():
    assert draw_boxes(Image.new("RGB", (50, 50)), [(-10, -10, 90, 90)], labels=["1"]).size == (50, 50)


def test_the_label_of_a_box_at_the_upper_edge_is_written_below_it():
    drawn = np.asarray(draw_boxes(Image.new("RGB", (100, 100)), [(20, 2, 40, 30)], ["1"], ["#ff0000"]))
    assert (drawn[32:50, 15:45, 0] > 100).any()
