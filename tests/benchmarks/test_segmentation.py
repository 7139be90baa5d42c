"""The benchmark of `segment` on SLAKE's masks: its protocol on a hand-made image, and its command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.segmentation import (
    annotated_images,
    grey_values,
    main,
    read_scores,
    score_image,
    scored,
    summary,
    table,
)
from medvista.imaging import box_from_model
from medvista.tools import tool
from medvista.tools.segmenters.lite_medsam import packaged_weights
from medvista.types import Mask, ToolResult

VALUES = {"Liver": 70, "Spleen": 230}
CALLS: list[str] = []


@tool
def fill_box(images, bbox_2d: tuple[float, float, float, float]) -> ToolResult:
    """Take the whole box for the structure."""
    CALLS.append("fill_box")
    x1, y1, x2, y2 = (round(side) for side in box_from_model(bbox_2d, images[0].size))
    pixels = np.zeros(images[0].pixels.shape, dtype=bool)
    pixels[y1:y2, x1:x2] = True
    return ToolResult(masks=(Mask(pixels=pixels),))


@pytest.fixture
def slake(tmp_path):
    """Two annotated images: xmlab9 with a liver in two boxes and a spleen, xmlab10 with a drawn frame for a mask."""
    root = tmp_path / "slake" / "Slake1.0"
    for name in ("xmlab9", "xmlab10"):
        (root / "imgs" / name).mkdir(parents=True)
        Image.new("L", (100, 50), 90).save(root / "imgs" / name / "source.jpg")
    (root / "mask.txt").write_text("70:Liver\n230:Spleen")
    mask = np.zeros((50, 100), dtype=np.uint8)
    mask[0:20, 0:10] = 70  # in the first box, half of it
    mask[0:20, 40:50] = 70  # in the second box, all of it
    mask[40:50, 90:100] = 70  # in no box
    mask[30:40, 0:10] = 230
    Image.fromarray(mask).convert("RGBA").save(root / "imgs" / "xmlab9" / "mask.png")
    boxes = [
        {"Liver": [0, 0, 20, 20]},
        {"Liver": [40, 0, 10, 20]},
        {"Spleen": [0, 30, 10, 10]},
        {"Nodule": [0, 0, 5, 5]},
    ]
    (root / "imgs" / "xmlab9" / "detection.json").write_text(json.dumps(boxes))
    frame = np.stack([mask, mask, np.full_like(mask, 9)], axis=-1)
    Image.fromarray(frame).save(root / "imgs" / "xmlab10" / "mask.png")
    (root / "imgs" / "xmlab10" / "detection.json").write_text(json.dumps([{"Liver": [0, 0, 5, 5]}]))
    CALLS.clear()
    return root


def test_a_structure_is_compared_with_all_its_pixels_and_a_box_with_those_inside(slake):
    liver, spleen = score_image(fill_box, slake / "imgs" / "xmlab9", grey_values(slake))
    # 400 + 200 pixels said, 200 + 200 + 100 labelled, 400 in common
    assert liver.dice == pytest.approx(2 * 400 / (600 + 500))
    assert liver.dice_boxes == pytest.approx((2 * 200 / (400 + 200), 1.0))
    assert spleen.dice == 1.0
    assert grey_values(slake) == VALUES


def test_a_mask_that_is_no_label_map_has_nothing_to_compare(slake):
    assert score_image(fill_box, slake / "imgs" / "xmlab10", grey_values(slake)) == []
    assert CALLS == []


def test_images_come_in_the_order_of_their_numbers(slake):
    assert [folder.name for folder in annotated_images(slake.parents[1])] == ["xmlab9", "xmlab10"]


def test_the_table_and_the_last_line_count_structures_boxes_and_images(slake):
    scores = score_image(fill_box, slake / "imgs" / "xmlab9", grey_values(slake))
    assert "| Liver | 1 | 2 | 0.727 | 0.727 |" in table(scores)
    assert table(scores).endswith("| **all** | 1 | 3 | 0.864 | 0.864 |")
    numbers = summary(scores)
    assert (numbers["boxes"], numbers["structures"], numbers["images"]) == (3, 2, 1)
    assert numbers["dice_mean"] == pytest.approx((8 / 11 + 1) / 2, abs=1e-4)
    assert numbers["dice_boxes"] == pytest.approx((2 / 3 + 1 + 1) / 3, abs=1e-4)


def test_an_interrupted_run_goes_on_where_it_stopped(slake, tmp_path):
    keep, folders = tmp_path / "scores.jsonl", annotated_images(slake.parents[1])
    first = list(scored(fill_box, folders[:1], VALUES, keep))
    with keep.open("a", encoding="utf-8") as file:
        file.write('\n{"image": "xmlab10", "sco')  # killed while writing
    calls = len(CALLS)
    again = list(scored(fill_box, folders, VALUES, keep))
    assert again == [*first, []]
    assert len(CALLS) == calls
    assert set(read_scores(keep)) == {"xmlab9", "xmlab10"}


def test_missing_files_and_weights_are_said_in_a_sentence(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 2
    assert "set MEDVISTA_DATA to the folder that holds slake/Slake1.0" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(packaged_weights() is None, reason="LiteMedSAM is not installed")
def test_lite_medsam_outlines_the_organs_of_a_real_slice(data_root, capsys):
    assert main(["--data", str(data_root), "--images", "2", "--device", "cpu"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["dice_mean"] > 0.8
    assert last["images"] >= 1
