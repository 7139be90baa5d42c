"""Masks: the box around them and their code in files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from medvista.imaging.masks import mask_box, mask_from_rle, mask_to_rle


def test_runs_go_down_the_columns_and_begin_with_false():
    mask = np.array([[True, False, True], [True, True, False]])
    assert mask_to_rle(mask) == {"size": [2, 3], "counts": [0, 2, 1, 2, 1]}


@settings(deadline=None)
@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6)))
def test_any_mask_comes_back(mask):
    back = mask_from_rle(mask_to_rle(mask))
    assert back.dtype == bool
    assert np.array_equal(back, mask)


@pytest.mark.parametrize("counts", [[3], [5], [-1, 5], []])
def test_runs_that_do_not_fill_the_size_are_refused(counts):
    with pytest.raises(ValueError, match="its size is 2 x 2"):
        mask_from_rle({"size": [2, 2], "counts": counts})


@settings(deadline=None)
@given(arrays(bool, (5, 7), elements=st.booleans()))
def test_the_box_around_a_mask_is_tight(mask):
    box = mask_box(mask)
    if not mask.any():
        assert box is None
        return
    left, top, right, bottom = (int(side) for side in box)
    assert mask[top:bottom, left:right].sum() == mask.sum()
    for edge in (mask[top, :], mask[bottom - 1, :], mask[:, left], mask[:, right - 1]):
        assert edge.any()
