"""Toolboxes that show something else than what a call found."""

from __future__ import annotations

import json

import numpy as np
import pytest

from medvista.imaging import blank_image, fit, to_display
from medvista.tools import SUBSTITUTED, BlankResults, Donor, RandomRegions, ShuffledResults, Toolbox, tool
from medvista.types import MedicalImage, ToolCall, ToolResult, Window

BOX = [0, 0, 500, 500]


def grey(seed: int = 0, side: int = 40) -> MedicalImage:
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side), dtype=np.uint8)
    return MedicalImage(pixels=pixels)


@tool
def mean(images: tuple[MedicalImage, ...]) -> ToolResult:
    """Mean of the first image."""
    value = float(images[0].pixels.mean())
    return ToolResult(text=f"mean {value:.1f}", data={"mean": value})


@tool
def remember(images: tuple[MedicalImage, ...]) -> ToolResult:
    """What is known, whatever the image."""
    return ToolResult(text="A nodule is a rounded opacity.")


def call(name: str = "zoom", **arguments: object) -> ToolCall:
    return ToolCall(name=name, arguments=arguments or ({"bbox_2d": BOX} if name == "zoom" else {}))


@pytest.mark.parametrize(
    "image",
    [
        MedicalImage(pixels=np.arange(64, dtype=np.int16).reshape(8, 8) - 900, window=Window(centre=-600, width=1500)),
        MedicalImage(pixels=np.arange(64, dtype=np.float32).reshape(8, 8)),
        MedicalImage(pixels=np.arange(64, dtype=np.uint8).reshape(8, 8)),
        MedicalImage(pixels=np.arange(192, dtype=np.uint8).reshape(8, 8, 3)),
    ],
)
def test_a_blank_image_is_mid_grey_whatever_its_pixels_are(image: MedicalImage) -> None:
    blank = blank_image(image)
    assert blank.pixels.dtype == image.pixels.dtype
    assert blank.pixels.shape == image.pixels.shape
    assert np.isin(to_display(blank), (127, 128)).all()


def test_a_blank_zoom_keeps_its_text_shape_and_place_and_loses_what_it_showed() -> None:
    true = Toolbox.from_names(["zoom"]).run(call(), [grey()])
    blank = BlankResults(Toolbox.from_names(["zoom"])).for_episode(0).run(call(), [grey()])
    assert blank.text == true.text
    assert blank.regions == true.regions
    assert blank.images[0].size == true.images[0].size
    assert np.ptp(blank.images[0].pixels) == 0
    assert SUBSTITUTED in blank.data


def test_a_blank_measurement_is_that_of_a_blank_image_and_knowledge_falls_silent() -> None:
    toolbox = BlankResults(Toolbox([mean, remember])).for_episode(0)
    measured = toolbox.run(call("mean"), [grey()])
    assert measured.text == "mean 128.0"
    assert "mean" not in measured.data
    assert toolbox.run(call("remember"), [grey()]).text == ""


def test_a_failed_call_is_told_as_it_failed() -> None:
    for toolbox in (BlankResults(Toolbox([])), ShuffledResults(Toolbox([]), [], {0: "a"})):
        result = toolbox.for_episode(0).run(call("zom"), [grey()])
        assert result.error is not None
        assert SUBSTITUTED not in result.data


def donor(group: str, name: str = "zoom", text: str = "Zoom of image 0 at [1, 2, 3, 4].") -> Donor:
    return Donor(group_id=group, tool=name, text=text, images=(fit(grey(seed=9), 16),))


def test_a_shuffled_result_is_what_the_same_tool_showed_about_another_image() -> None:
    donors = [donor("mine"), donor("theirs"), donor("theirs", name="window", text="Windowed.")]
    toolbox = ShuffledResults(Toolbox.from_names(["zoom", "window"]), donors, {7: "mine"}).for_episode(7)
    result = toolbox.run(call(), [grey()])
    assert result.images == donors[1].images
    assert result.text == donors[1].text
    assert result.regions[0].box == (0, 0, 20, 20), "it looked where it looked, whatever it was shown"
    assert result.data == {SUBSTITUTED: "shown about theirs"}


def test_without_an_observation_of_another_image_the_true_one_is_shown() -> None:
    toolbox = ShuffledResults(Toolbox.from_names(["zoom"]), [donor("mine")], {7: "mine"}).for_episode(7)
    result = toolbox.run(call(), [grey()])
    assert np.array_equal(result.images[0].pixels, grey().pixels[:20, :20])
    assert SUBSTITUTED not in result.data


def test_the_same_seeds_draw_the_same_donors_and_others_draw_others() -> None:
    donors = [donor(f"g{index}", text=f"from {index}") for index in range(50)]
    groups = dict.fromkeys(range(8), "mine")

    def drawn(seed: int) -> list[str]:
        toolbox = ShuffledResults(Toolbox.from_names(["zoom"]), donors, groups, seed=seed)
        return [toolbox.for_episode(episode).run(call(), [grey()]).text for episode in groups]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    assert len(set(drawn(0))) > 1


def test_a_call_on_a_substituted_image_is_read_as_if_the_true_one_had_been_shown() -> None:
    source = grey()
    toolbox = BlankResults(Toolbox.from_names(["zoom"])).for_episode(0)
    first = toolbox.run(call(), [source])
    second = toolbox.run(call(bbox_2d=[500, 500, 1000, 1000], image=1), [source, *first.images])
    assert second.regions[0].box == (10, 10, 20, 20)


def test_episodes_do_not_share_what_their_tools_found() -> None:
    toolbox = BlankResults(Toolbox.from_names(["zoom"]))
    toolbox.for_episode(0).run(call(), [grey()])
    result = toolbox.for_episode(1).run(call(bbox_2d=[0, 0, 1000, 1000]), [grey()])
    assert result.regions[0].box == (0, 0, 40, 40)


def test_a_random_region_says_in_the_record_that_it_is_one() -> None:
    result = RandomRegions(Toolbox.from_names(["zoom"])).for_episode(3).run(call(), [grey()])
    (box,) = (region.box for region in result.regions)
    assert box[2] - box[0] == box[3] - box[1] == 20
    assert box != (0, 0, 20, 20)
    assert result.data[SUBSTITUTED].startswith("random region {'bbox_2d': [")


def test_each_of_several_boxes_goes_to_a_place_of_its_own() -> None:
    @tool
    def report(images: tuple[MedicalImage, ...], boxes: list[tuple[int, int, int, int]], image: int = 0) -> ToolResult:
        """Tells where it was sent, and says what it was asked."""
        return ToolResult(text=json.dumps(boxes), data={"boxes": boxes, "image": image})

    random = RandomRegions(Toolbox([report]))
    result = random.for_episode(3).run(call("report", boxes=[BOX, BOX]), [grey()])
    first, second = boxes = result.data["boxes"]
    assert result.data["image"] == 0
    assert first != second
    assert boxes == random.for_episode(3).run(call("report", boxes=[BOX, BOX]), [grey()]).data["boxes"]
    assert {tuple(np.subtract(box[2:], box[:2])) for box in (first, second)} == {(500, 500)}
    assert json.loads(result.text) == [BOX, BOX]


@pytest.mark.parametrize("box", [BOX, [10.5, 20.25, 500.125, 600.0]])
def test_a_random_region_is_measured_where_it_lies_and_told_as_it_was_asked_for(box: list[float]) -> None:
    @tool
    def report(images: tuple[MedicalImage, ...], bbox_2d: tuple[float, float, float, float]) -> ToolResult:
        """Repeats where it was sent, and says what it measured there."""
        written = ", ".join(f"{value:g}" for value in bbox_2d)
        return ToolResult(text=f"At [{written}]: {bbox_2d[0]:g} HU.", data={"left": bbox_2d[0]})

    result = RandomRegions(Toolbox([report])).for_episode(3).run(call("report", bbox_2d=box), [grey()])
    left = result.data["left"]
    assert left != box[0]
    assert result.text == f"At [{', '.join(f'{value:g}' for value in box)}]: {left:g} HU."
