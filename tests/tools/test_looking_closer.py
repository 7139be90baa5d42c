"""The zoom and window tools, and zoom on random regions."""

from dataclasses import replace

import numpy as np
import pytest

from medvista.imaging import box_to_model, box_to_source, fit, to_display
from medvista.imaging.geometry import map_box
from medvista.tools import RandomRegions, Toolbox
from medvista.types import MedicalImage, ToolCall, ToolErrorType, Window

TOOLBOX = Toolbox.from_names(["zoom", "window"])
LUNG = Window(centre=-600, width=1500)


def ct(side=448, source=0):
    pixels = np.random.default_rng(source).integers(-1024, 2000, (side, side)).astype(np.int16)
    return MedicalImage(pixels=pixels, modality="CT", window=LUNG, spacing_mm=(0.7, 0.7), source=source)


def run(images, name, toolbox=TOOLBOX, **arguments):
    return toolbox.run(ToolCall(name=name, arguments=arguments), images)


def test_zoom_returns_the_source_pixels_of_the_box_with_provenance():
    image = ct()
    result = run([image], "zoom", bbox_2d=box_to_model((64, 96, 128, 160), image.size))
    (part,) = result.images
    assert np.array_equal(part.pixels, image.pixels[96:160, 64:128])
    assert part.pixels.dtype == np.int16
    assert part.window == LUNG
    assert box_to_source(part, (0, 0, 64, 64)) == (64, 96, 128, 160)
    assert [(region.box, region.image) for region in result.regions] == [((64, 96, 128, 160), 0)]


def test_zoom_repeats_whole_numbers_as_they_were_written():
    assert run([ct()], "zoom", bbox_2d=[142, 214, 285, 357]).text == "Zoom of image 0 at [142, 214, 285, 357]."
    assert run([ct()], "zoom", bbox_2d=[142.5, 214, 285, 357]).text == "Zoom of image 0 at [142.5, 214, 285, 357]."


def test_a_zoom_on_a_zoom_crops_the_source_again():
    image = ct()
    (first,) = run([image], "zoom", bbox_2d=[0, 0, 500, 500]).images
    result = run([image, first], "zoom", bbox_2d=[500, 500, 1000, 1000], image=1)
    assert np.array_equal(result.images[0].pixels, image.pixels[112:224, 112:224])
    assert result.regions[0].box == (112, 112, 224, 224)


def test_a_zoom_on_a_small_view_still_has_the_native_resolution_of_the_source():
    image = ct()
    view = fit(image, 64)
    (part,) = run([image, view], "zoom", bbox_2d=[0, 0, 500, 500], image=1).images
    assert np.array_equal(part.pixels, image.pixels[:224, :224])
    assert part.window == LUNG


def test_a_zoom_looks_at_the_image_it_names():
    images = [ct(), ct(side=200, source=1)]
    result = run(images, "zoom", bbox_2d=[0, 0, 500, 500], image=1)
    assert result.images[0].size == (100, 100)
    assert result.images[0].source == 1
    assert result.regions[0].image == 1


def test_a_zoom_through_a_window_keeps_the_window():
    image = ct()
    (bone,) = run([image], "window", preset="bone").images
    (part,) = run([image, bone], "zoom", bbox_2d=[0, 0, 500, 500], image=1).images
    assert part.window == Window(centre=500, width=2000)
    assert np.array_equal(part.pixels, image.pixels[:224, :224])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"bbox_2d": [300, 0, 200, 100]}, "x1 < x2 and y1 < y2, got [300, 0, 200, 100]"),
        ({"bbox_2d": [300, 100, 400, 100]}, "x1 < x2 and y1 < y2"),
        ({"bbox_2d": [0, 0, 1200, 100]}, "bbox_2d[2] has to be at most 1000, got 1200"),
        ({"bbox_2d": [-1, 0, 100, 100]}, "bbox_2d[0] has to be at least 0"),
        ({"bbox_2d": [0, 0, 100]}, "has to have 4 items, got 3"),
        ({"bbox_2d": [0, 0, 4, 500]}, "too thin"),
        ({}, "'bbox_2d' is missing"),
        ({"bbox_2d": [0, 0, 100, 100], "image": 1}, "There is no image 1; only image 0 exists"),
        ({"bbox_2d": [0, 0, 100, 100], "image": -1}, "image has to be at least 0"),
    ],
)
def test_a_bad_box_is_told_what_to_mend(arguments, said):
    error = run([ct()], "zoom", **arguments).error
    assert error.type is ToolErrorType.INVALID_ARGUMENTS
    assert said in error.message


def test_a_sliver_is_refused_before_a_vision_processor_fails_on_it():
    error = run([ct(side=4096)], "zoom", bbox_2d=[0, 0, 1000, 2]).error
    assert "4096.0 x 8.2 pixels" in error.message


def test_window_shows_the_same_pixels_in_other_greys():
    image = ct()
    result = run([image], "window", preset="bone")
    assert result.text == "Image 0 in the bone window of centre 500, width 2000 HU."
    assert result.images[0].pixels is image.pixels
    assert np.array_equal(to_display(result.images[0]), to_display(image, Window(centre=500, width=2000)))
    assert result.regions == ()  # other greys of the whole image are no look at a place


def test_window_on_a_crop_stays_on_the_crop():
    image = ct()
    (part,) = run([image], "zoom", bbox_2d=[250, 250, 500, 500]).images
    result = run([image, part], "window", image=1, centre=40, width=400)
    assert result.images[0].size == part.size
    assert map_box(result.images[0].to_source, (0, 0, *part.size)) == (112, 112, 224, 224)


def test_without_numbers_contrast_follows_the_percentiles():
    image = MedicalImage(pixels=np.arange(10_001, dtype=np.uint16).reshape(1, -1), modality="MR")
    (shown,) = run([image], "window").images
    assert shown.window == Window(centre=5000, width=9800)


def test_where_there_are_no_hounsfield_units_percentiles_choose_the_window():
    image = MedicalImage(pixels=np.arange(10_001, dtype=np.uint16).reshape(1, -1), modality="MR")
    (shown,) = run([image], "window", percentiles=[50, 90]).images
    assert shown.window == Window(centre=7000, width=4000)
    assert (to_display(shown)[0, :5000] == 0).all()
    assert (to_display(shown)[0, 9000:] == 255).all()


@pytest.mark.parametrize(
    ("image", "arguments", "said"),
    [
        (ct(), {"preset": "bone", "percentiles": [1, 9]}, "either preset, or centre and width, or percentiles"),
        (ct(), {"centre": 1, "width": 1, "percentiles": [1, 9]}, "either preset, or centre and width, or percentiles"),
        (ct(), {"percentiles": [90, 10]}, "the one shown black, then a greater one, got [90, 10]"),
        (ct(), {"percentiles": [1, 101]}, "percentiles[1] has to be at most 100"),
        (ct(), {"preset": "bone", "centre": 3}, "either preset, or centre and width"),
        (ct(), {"centre": 3}, "centre and width together"),
        (ct(), {"centre": 3, "width": 0}, "width has to be at least 0.001"),
        (ct(), {"preset": "heart"}, "one of lung, soft_tissue, bone, brain, liver"),
        (replace(ct(), modality="MR"), {"preset": "bone"}, "no Hounsfield units"),
        (MedicalImage(pixels=np.zeros((9, 9), np.uint8), modality="CT"), {"preset": "bone"}, "no Hounsfield units"),
        (MedicalImage(pixels=np.zeros((9, 9, 3), np.uint8)), {"centre": 3, "width": 4}, "in colour"),
    ],
)
def test_a_bad_window_is_told_what_to_mend(image, arguments, said):
    error = run([image], "window", **arguments).error
    assert error.type is ToolErrorType.INVALID_ARGUMENTS
    assert said in error.message


def test_a_random_region_has_the_size_asked_for_and_an_image_of_its_own_under_the_text_of_the_call():
    image = ct()
    result = run([image], "zoom", RandomRegions(TOOLBOX, seed=3), bbox_2d=[142, 214, 285, 357])
    box = result.regions[0].box
    assert box != (64, 96, 128, 160)
    assert (box[2] - box[0], box[3] - box[1]) == pytest.approx((64, 64), abs=1)
    assert result.text == "Zoom of image 0 at [142, 214, 285, 357]."
    assert result.images[0].to_source[:2, 2].tolist() == list(box[:2])


def test_random_regions_repeat_with_the_seed_of_the_episode():
    def places(seed):
        toolbox = RandomRegions(TOOLBOX).for_episode(seed)
        return [run([ct()], "zoom", toolbox, bbox_2d=[0, 0, 143, 143]).regions[0].box for _ in range(3)]

    assert places(1) == places(1)
    assert places(1) != places(2)
    assert len(set(places(1))) == 3


def test_random_regions_cover_the_whole_image_evenly():
    toolbox = RandomRegions(TOOLBOX, seed=0)
    boxes = [run([ct()], "zoom", toolbox, bbox_2d=[0, 0, 200, 200]).regions[0].box for _ in range(400)]
    left, top = np.array(boxes)[:, 0], np.array(boxes)[:, 1]
    for edge in (left, top):
        assert edge.min() < 10
        assert edge.max() > 0.8 * 448 - 10
        assert abs(edge.mean() - 0.4 * 448) < 15


def test_random_regions_leave_other_calls_and_bad_boxes_alone():
    toolbox = RandomRegions(TOOLBOX)
    assert run([ct()], "window", toolbox, preset="bone").text.startswith("Image 0 in the bone window")
    assert "got [300, 0, 200, 100]" in run([ct()], "zoom", toolbox, bbox_2d=[300, 0, 200, 100]).error.message
    assert toolbox.names == TOOLBOX.names
    assert toolbox.schemas() == TOOLBOX.schemas()
