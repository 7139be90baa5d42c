"""Places side by side, and the other side of the body."""

import numpy as np
import pytest

from medvista.imaging.geometry import box_to_source
from medvista.tools import Toolbox
from medvista.types import MedicalImage, Slice, ToolCall, ToolErrorType, Window

TOOLBOX = Toolbox.from_names(["zoom", "window", "compare", "mirror"])


def run(images, name, **arguments):
    return TOOLBOX.run(ToolCall(name=name, arguments=arguments), images)


def noise(width=200, height=100, source=0, **fields):
    pixels = np.random.default_rng(source).integers(0, 4000, (height, width)).astype(np.uint16)
    return MedicalImage(pixels=pixels, source=source, **fields)


# -------------------------------------------------------------------------------------------------------------- compare


def test_regions_of_one_image_are_shown_at_native_resolution_each_with_its_place():
    image = noise(spacing_mm=(0.5, 0.5))
    result = run([image], "compare", boxes=[[0, 0, 500, 500], [500, 500, 1000, 1000], [0, 0, 100, 1000]])
    first, second, third = result.images
    assert np.array_equal(first.pixels, image.pixels[:50, :100])
    assert np.array_equal(second.pixels, image.pixels[50:, 100:])
    assert third.size == (20, 100)
    assert box_to_source(second, (0, 0, 100, 50)) == (100, 50, 200, 100)
    assert [region.box for region in result.regions] == [(0, 0, 100, 50), (100, 50, 200, 100), (0, 0, 20, 100)]
    assert "(1) image 0 at [0, 0, 500, 500], 50.0 x 25.0 mm; (2)" in result.text


def test_regions_may_be_of_several_images():
    images = [noise(source=0), noise(source=1)]
    result = run(images, "compare", boxes=[[0, 0, 500, 500]] * 2, image=[0, 1])
    assert [view.source for view in result.images] == [0, 1]
    assert np.array_equal(result.images[1].pixels, images[1].pixels[:50, :100])
    assert [region.image for region in result.regions] == [0, 1]


def test_whole_images_are_compared_as_they_were_last_seen():
    image = noise()
    (windowed,) = run([image], "window", centre=100, width=50).images
    result = run([image, windowed], "compare", image=[0, 1])
    assert [view.window for view in result.images] == [None, Window(centre=100, width=50)]
    assert result.text == "Side by side: (1) image 0, 200 x 100 pixels; (2) image 1, 200 x 100 pixels."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "Give 2 to 4 boxes, or 2 to 4 images"),
        ({"image": [0]}, "Give 2 to 4 boxes, or 2 to 4 images"),
        ({"boxes": [[0, 0, 500, 500]]}, "boxes has to have 2 to 4 items, got 1"),
        ({"boxes": [[0, 0, 500, 500]] * 5}, "boxes has to have 2 to 4 items, got 5"),
        ({"boxes": [[0, 0, 500, 500]] * 3, "image": [0, 1]}, "3 boxes but 2 images"),
        ({"boxes": [[0, 0, 500, 500], [5, 5, 5, 9]]}, "box 2: bbox_2d is x1 y1 x2 y2 with x1 < x2"),
        ({"image": [0, 7]}, "There is no image 7"),
    ],
)
def test_a_comparison_of_nothing_is_told_what_to_mend(arguments, said):
    error = run([noise(source=0), noise(source=1)], "compare", **arguments).error
    assert error.type is ToolErrorType.INVALID_ARGUMENTS
    assert said in error.message


# --------------------------------------------------------------------------------------------------------------- mirror


def symmetric(axis=60, side=100):
    """A body symmetric about a column boundary off the middle of the image, with a mark on its left part."""
    half = np.random.default_rng(0).integers(1000, 4000, (side, side - axis)).astype(np.uint16)
    pixels = np.zeros((side, side), np.uint16)
    pixels[:, axis:], pixels[:, 2 * axis - side : axis] = half, half[:, ::-1]
    pixels[40:50, 40:50] = 0
    return MedicalImage(pixels=pixels)


def test_the_other_side_lies_across_the_midline_of_the_body():
    image = symmetric()
    result = run([image], "mirror", bbox_2d=[400, 400, 500, 600])
    here, there = result.images
    assert np.array_equal(here.pixels, image.pixels[40:60, 40:50])
    # Columns 70 to 80, turned: the body is the same there but for the mark.
    assert np.array_equal(there.pixels, image.pixels[40:60, 70:80][:, ::-1])
    assert np.array_equal(there.pixels[10:], here.pixels[10:])
    assert [region.box for region in result.regions] == [(40, 40, 50, 60), (70, 40, 80, 60)]
    assert "mirrored about the body's midline, at 600 of 1000 of the width" in result.text
    assert "the other side at [700, 400, 800, 600], turned left to right" in result.text


def test_the_other_side_is_turned_and_still_knows_its_place():
    there = run([symmetric()], "mirror", bbox_2d=[400, 400, 500, 600]).images[1]
    assert box_to_source(there, (0, 0, 5, 5)) == (75, 40, 80, 45)  # its left is the source's right


def test_the_middle_of_the_image_can_be_asked_for():
    result = run([symmetric()], "mirror", bbox_2d=[100, 400, 300, 600], midline="image")
    assert result.regions[1].box == (70, 40, 90, 60)
    assert result.text.endswith("mirrored about the middle of the image.")


def test_without_symmetry_the_middle_of_the_image_is_taken_and_named():
    result = run([noise()], "mirror", bbox_2d=[0, 0, 100, 500])
    assert "no midline of a body was found, so mirrored about the middle" in result.text
    assert result.regions[1].box == (180, 0, 200, 50)


def test_the_other_side_is_found_from_a_crop_too():
    image = symmetric()
    (crop,) = run([image], "zoom", bbox_2d=[350, 300, 550, 700]).images
    result = run([image, crop], "mirror", image=1, bbox_2d=[250, 250, 750, 750])
    assert [region.box for region in result.regions] == [(40, 40, 50, 60), (70, 40, 80, 60)]
    assert " at [" not in result.text.split(";")[0]  # the crop does not show it, so no place on it is given


@pytest.mark.parametrize(
    ("image", "arguments", "said"),
    [
        (symmetric(), {"bbox_2d": [0, 0, 100, 500]}, "its other side lies beyond the image"),
        (symmetric(), {"bbox_2d": [500, 0, 530, 500]}, "too thin"),
        (symmetric(), {"bbox_2d": [600, 0, 500, 500]}, "x1 < x2"),
        (noise(slice=Slice(plane="sagittal", index=3)), {"bbox_2d": [0, 0, 500, 500]}, "a sagittal slice"),
    ],
)
def test_a_region_without_another_side_is_told_what_to_mend(image, arguments, said):
    error = run([image], "mirror", **arguments).error
    assert error.type is ToolErrorType.INVALID_ARGUMENTS
    assert said in error.message
