"""The tool `segment`: places of 0-1000 in, outlines in source pixels and measures out."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from medvista.errors import UserError
from medvista.imaging import crop, to_display
from medvista.settings import SegmentConfig
from medvista.tools import Toolbox, find_tool
from medvista.tools.builtin.segment import build_segment
from medvista.tools.capabilities import BatchedTool, LoadedTool, ToolRequest
from medvista.tools.options import read_options
from medvista.tools.schema import ArgumentError
from medvista.tools.segmenters import Prompt, load_segmenter
from medvista.types import MedicalImage, ToolCall, ToolErrorType

PIXELS = np.random.default_rng(1).integers(-1000, 1500, (80, 100)).astype(np.int16)
CT = MedicalImage(pixels=PIXELS, modality="CT", spacing_mm=(0.5, 0.8))
BOX = (200, 250, 700, 750)


@pytest.fixture(scope="module")
def folder(tiny_checkpoint):
    return tiny_checkpoint("sam")


@pytest.fixture(scope="module")
def segment(folder):
    return build_segment(backend="sam", checkpoint=str(folder), device="cpu")


def found_by_model(folder, image, box):
    """What the model behind the tool says about an image, in pixels of the image."""
    segmenter = load_segmenter(SegmentConfig(backend="sam", checkpoint=str(folder), device="cpu"))
    return segmenter.segment([to_display(image)], [Prompt(box=box)])[0][0]


def test_an_outline_is_the_models_in_source_pixels_with_its_area(segment, folder):
    result = segment([CT], bbox_2d=BOX)
    expected = found_by_model(folder, CT, (20, 20, 70, 60))
    (mask,) = result.masks
    np.testing.assert_array_equal(mask.pixels, expected.mask)
    pixels = int(expected.mask.sum())
    assert result.data["area_px"] == [pixels]
    assert result.data["area_mm2"] == [pytest.approx(pixels * 0.5 * 0.8)]
    rows, columns = np.nonzero(expected.mask)
    assert result.regions[0].box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert "mm²" in result.text


def test_without_spacing_the_area_is_in_pixels(segment):
    result = segment([MedicalImage(pixels=to_display(CT))], bbox_2d=BOX)
    assert "area_mm2" not in result.data
    assert "pixels" in result.text


def test_an_outline_on_a_crop_lies_on_the_source(segment, folder):
    part = crop(CT, (30, 10, 90, 70))
    result = segment([CT, part], bbox_2d=(100, 100, 900, 900), image=1)
    expected = np.zeros((80, 100), dtype=bool)
    expected[10:70, 30:90] = found_by_model(folder, part, (6, 6, 54, 54)).mask
    np.testing.assert_array_equal(result.masks[0].pixels, expected)
    (picture,) = result.images
    assert picture.size == (60, 60)
    np.testing.assert_array_equal(picture.to_source, part.to_source)


def test_the_source_of_a_second_image_is_kept(segment):
    second = MedicalImage(pixels=PIXELS[:50], source=1)
    result = segment([CT, second], bbox_2d=BOX, image=1)
    assert result.masks[0].image == result.regions[0].image == 1
    assert result.masks[0].pixels.shape == (50, 100)


def test_points_are_prompts_too(segment):
    result = segment([CT], points=[(400, 400), (450, 450)], outside=[(10, 10)])
    assert result.masks or result.data["masks"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "Say what to segment"),
        ({"outside": [[1, 1]]}, "Say what to segment"),
        ({"bbox_2d": [500, 0, 100, 900]}, "x1 < x2"),
        ({"bbox_2d": [0, 0, 1200, 900]}, "at most 1000"),
        ({"points": [[5, 5]] * 17}, "at most 16 points"),
        ({"bbox_2d": list(BOX), "image": 4}, "There is no image 4"),
        ({"text": "liver"}, "Unknown argument 'text'"),
    ],
)
def test_a_prompt_that_makes_no_sense_is_explained(segment, arguments, said):
    result = Toolbox([segment]).run(ToolCall(name="segment", arguments=arguments), [CT])
    assert result.error.type is ToolErrorType.INVALID_ARGUMENTS
    assert said in result.error.message


def test_calls_of_a_batch_are_answered_as_alone_and_fail_alone(segment):
    assert isinstance(segment.function, BatchedTool)
    assert isinstance(segment.function, LoadedTool)
    other = MedicalImage(pixels=PIXELS[::-1].copy())
    requests = [
        ToolRequest(images=[CT], arguments={"bbox_2d": BOX}),
        ToolRequest(images=[CT], arguments={}),
        ToolRequest(images=[CT, other], arguments={"points": [(500, 500)], "image": 0}),
        ToolRequest(images=[other], arguments={"bbox_2d": BOX}),
    ]
    results = segment.function.call_batch(requests)
    assert isinstance(results[1], ArgumentError)
    for index in (0, 2, 3):
        alone = segment(requests[index].images, **requests[index].arguments)
        assert results[index].text == alone.text
    assert segment.function.call_batch(requests[1:2])[0].args


def test_settings_travel_to_a_worker_without_weights(segment):
    segment.function.load()
    copy = pickle.loads(pickle.dumps(segment))
    assert len(pickle.dumps(segment)) < 10_000
    assert copy([CT], bbox_2d=BOX).text == segment([CT], bbox_2d=BOX).text


def test_phrases_are_offered_only_where_the_model_reads(segment, tiny_checkpoint):
    assert "text" not in segment.parameters["properties"]
    reading = build_segment(backend="sam3", checkpoint=str(tiny_checkpoint("sam3")), device="cpu", threshold=0.1)
    assert "text" in reading.parameters["properties"]
    result = reading([CT], text="left lung")
    assert result.data["masks"] == len(result.masks) >= 1
    assert {region.label for region in result.regions} == {"left lung"}
    with pytest.raises(ArgumentError, match="not both"):
        reading([CT], text="left lung", bbox_2d=BOX)


def test_nothing_found_is_said_and_no_outline_is_invented(tiny_checkpoint):
    reading = build_segment(backend="sam3", checkpoint=str(tiny_checkpoint("sam3")), device="cpu", threshold=0.99)
    result = reading([CT], text="left lung")
    assert result.ok
    assert result.text == 'No outline of "left lung" was found on image 0.'
    assert (result.masks, result.regions, result.images) == ((), (), ())


def test_missing_weights_make_the_tool_absent():
    with pytest.raises(UserError, match=r"segment is not available: the weights no-such/model .*`hf download"):
        find_tool("segment", backend="sam", checkpoint="no-such/model")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backend": "sam9"}, "backend is one of litemedsam, medsam, sam, sam2, sam3, not 'sam9'"),
        ({"colour": 1}, "no option 'colour'"),
        ({"max_batch": "8"}, "max_batch takes a int"),
        ({"download": 1}, "download takes a bool"),
    ],
)
def test_options_are_checked(options, said):
    with pytest.raises(UserError, match=said):
        read_options(SegmentConfig, options)


def test_an_integer_is_a_number_too():
    assert read_options(SegmentConfig, {"max_wait_ms": 3}).max_wait_ms == 3
