"""Distances and statistics, by hand-computed values."""

import math
from dataclasses import replace

import numpy as np
import pytest

from medvista.imaging.geometry import box_to_model
from medvista.imaging.resample import fit
from medvista.imaging.rotate import quarter_turn, rotate
from medvista.imaging.volume import first_slice, take_slice
from medvista.tools import Toolbox
from medvista.types import MedicalImage, Slice, ToolCall, ToolErrorType, Volume

TOOLBOX = Toolbox.from_names(["zoom", "distance", "roi_statistics"])


def run(images, name, **arguments):
    return TOOLBOX.run(ToolCall(name=name, arguments=arguments), images)


def image(width=200, height=100, **fields):
    pixels = np.arange(width * height, dtype=np.int16).reshape(height, width)
    return MedicalImage(pixels=pixels, **fields)


# ------------------------------------------------------------------------------------------------------------- distance


def test_a_distance_is_in_mm_with_each_direction_at_its_own_spacing():
    # 100 columns of 0.5 mm and 40 rows of 2 mm: sqrt(50^2 + 80^2)
    result = run([image(spacing_mm=(2.0, 0.5))], "distance", start=[250, 100], end=[750, 500])
    assert result.data == {"distance_mm": pytest.approx(math.hypot(50, 80))}
    assert result.text == "Image 0 from [250, 100] to [750, 500]: 94.3 mm."
    (line,) = result.regions
    assert line.box == pytest.approx((50, 10, 150, 50))


def test_without_spacing_a_distance_is_in_pixels_and_says_so():
    result = run([image()], "distance", start=[250, 100], end=[750, 500])
    assert result.data == {"distance_px": pytest.approx(math.hypot(100, 40))}
    assert "107.7 pixels of the source image" in result.text
    assert "this is not mm" in result.text


@pytest.mark.parametrize(
    "derive",
    [
        lambda source: fit(source, 64),
        lambda source: quarter_turn(source, 1),
        lambda source: rotate(source, 30),
        lambda source: run([source], "zoom", bbox_2d=[100, 0, 900, 900]).images[0],
    ],
)
def test_a_distance_is_the_same_on_whatever_was_derived_from_the_image(derive):
    source = image(spacing_mm=(2.0, 0.5))
    view = derive(source)
    here = [view.size[0] * 0.4, view.size[1] * 0.4, view.size[0] * 0.6, view.size[1] * 0.6]
    start, end = ([1000 * x / view.size[0], 1000 * y / view.size[1]] for x, y in (here[:2], here[2:]))
    step = (view.to_source @ [*here[2:], 1] - view.to_source @ [*here[:2], 1])[:2]
    expected = math.hypot(step[0] * 0.5, step[1] * 2.0)
    assert run([source, view], "distance", image=1, start=start, end=end).data["distance_mm"] == pytest.approx(expected)


def test_a_distance_on_a_coronal_slice_takes_the_spacing_of_that_plane():
    voxels = np.zeros((10, 20, 40), np.int16)
    volume = Volume(voxels=voxels, spacing_mm=(5.0, 0.8, 0.6), to_patient=np.eye(4), modality="CT")
    coronal = take_slice(volume, Slice(plane="coronal", index=3))
    result = run([first_slice(volume), coronal], "distance", image=1, start=[0, 0], end=[1000, 1000])
    assert result.data["distance_mm"] == pytest.approx(math.hypot(40 * 0.6, 10 * 5.0))
    assert result.regions[0].slice == Slice(plane="coronal", index=3)


def test_on_a_radiograph_magnification_is_named():
    text = run([image(modality="CR", spacing_mm=(1, 1))], "distance", start=[0, 0], end=[500, 0]).text
    assert text.endswith("100.0 mm. On a projection, not corrected for magnification.")


def test_a_distance_needs_two_points():
    error = run([image()], "distance", start=[5, 5], end=[5.0, 5]).error
    assert error.type is ToolErrorType.INVALID_ARGUMENTS
    assert "give two different points" in error.message
    assert "'end' is missing: where it ends" in run([image()], "distance", start=[5, 5]).error.message


# ----------------------------------------------------------------------------------------------------------- statistics


def test_statistics_of_a_ct_are_in_hu_and_mm2():
    ct = image(modality="CT", spacing_mm=(2.0, 0.5))
    result = run([ct], "roi_statistics", bbox_2d=box_to_model((20, 10, 60, 30), ct.size))
    values = ct.pixels[10:30, 20:60].astype(float)
    assert result.data == {
        "mean_hu": pytest.approx(values.mean()),
        "sd_hu": pytest.approx(values.std()),
        "min_hu": values.min(),
        "max_hu": values.max(),
        "area_px": 800,
        "area_mm2": pytest.approx(800.0),
    }
    assert "mean 3939.5 HU" in result.text
    assert "area 800.0 mm² (800 pixels)" in result.text
    assert result.regions[0].box == pytest.approx((20, 10, 60, 30))


@pytest.mark.parametrize(
    ("fields", "dtype"), [({"modality": "MR"}, np.int16), ({"modality": "CT"}, np.uint8), ({}, np.uint8)]
)
def test_where_values_are_no_hu_they_are_called_grey(fields, dtype):
    grey = MedicalImage(pixels=np.full((50, 50), 9, dtype), **fields)
    result = run([grey], "roi_statistics", bbox_2d=[0, 0, 500, 500])
    assert result.data == {"mean_grey": 9, "sd_grey": 0, "min_grey": 9, "max_grey": 9, "area_px": 625}
    assert "(grey values, no HU)" in result.text
    assert "area in mm² unknown (625 pixels)" in result.text


def test_an_ellipse_leaves_out_the_corners():
    disc = MedicalImage(pixels=np.zeros((100, 100), np.int16), modality="CT", spacing_mm=(1, 1))
    result = run([disc], "roi_statistics", bbox_2d=[100, 200, 900, 800], shape="ellipse")
    assert result.data["area_mm2"] == pytest.approx(math.pi * 40 * 30, rel=0.01)


def test_statistics_are_of_the_original_values_whatever_is_shown():
    ct = image(modality="CT")
    views = [fit(ct, 50), quarter_turn(ct, 2), quarter_turn(ct, 1)]
    expected = run([ct], "roi_statistics", bbox_2d=[250, 250, 750, 750]).data
    for number in range(1, 4):
        assert run([ct, *views], "roi_statistics", image=number, bbox_2d=[250, 250, 750, 750]).data == expected


def test_on_a_turned_image_the_region_is_the_box_as_it_is_seen():
    square = MedicalImage(pixels=np.zeros((100, 100), np.int16), modality="CT")
    turned = rotate(square, 45)
    side = 0.2 * turned.size[0]
    result = run([square, turned], "roi_statistics", image=1, bbox_2d=[400, 400, 600, 600])
    assert result.data["area_px"] == pytest.approx(side**2, rel=0.02)  # the box around it on the source is twice as big
    left, top, right, bottom = result.regions[0].box
    assert (right - left) * (bottom - top) == pytest.approx(2 * side**2, rel=0.02)


def test_holes_do_not_spoil_statistics():
    pixels = np.ones((10, 10), np.float32)
    pixels[0, 0] = np.nan
    data = run([MedicalImage(pixels=pixels, modality="CT")], "roi_statistics", bbox_2d=[0, 0, 1000, 1000]).data
    assert data["mean_hu"] == 1
    assert data["area_px"] == 100


@pytest.mark.parametrize(
    ("given", "arguments", "said"),
    [
        (MedicalImage(pixels=np.zeros((9, 9, 3), np.uint8)), {"bbox_2d": [0, 0, 9, 9]}, "in colour"),
        (image(), {"bbox_2d": [10, 10, 10, 20]}, "x1 < x2 and y1 < y2"),
        (image(), {"bbox_2d": [10, 10, 11, 11]}, "choose a larger box"),
        (image(), {"bbox_2d": [0, 0, 9, 9], "shape": "round"}, "one of box, ellipse"),
        (image(), {"bbox_2d": [0, 0, 9, 9], "image": 4}, "There is no image 4"),
        (replace(image(), pixels=np.full((9, 9), np.nan)), {"bbox_2d": [0, 0, 900, 900]}, "holds no grey value"),
    ],
)
def test_a_region_that_cannot_be_measured_is_told_what_to_mend(given, arguments, said):
    error = run([given], "roi_statistics", **arguments).error
    assert error.type is ToolErrorType.INVALID_ARGUMENTS
    assert said in error.message
