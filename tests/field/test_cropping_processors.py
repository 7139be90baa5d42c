"""Image processors that crop or pad: all of a picture reaches the model, where its box says it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.perceiver.image_processing_pil_perceiver import PerceiverImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from medvista.errors import UserError
from medvista.notices import NOTICES
from medvista.policies.families import PictureInput

RESIZED = "pictures were resized to the shape of the model's input, whose processor would crop or pad them"
SIDE = 40
CROPPING = {
    "clip": CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
    "clip, margin": CLIPImageProcessorPil(size={"shortest_edge": 48}, crop_size=SIDE),
    "llava": LlavaImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SIDE),
    "llava, padded": LlavaImageProcessorPil(size={"shortest_edge": SIDE}, do_center_crop=False, do_pad=True),
    "perceiver": PerceiverImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    ),
}


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> Iterator[None]:
    NOTICES.clear()
    yield
    NOTICES.clear()


@pytest.mark.parametrize("name", CROPPING)
@pytest.mark.parametrize("shape", [(60, 120), (120, 60), (90, 100), (80, 80)])
def test_a_finding_anywhere_is_where_its_box_is(name: str, shape: tuple[int, int]) -> None:
    """A bright patch in each corner and in the middle, at the same share of the sides before and after."""
    height, width = shape
    prepare = PictureInput(CROPPING[name])
    plain = np.zeros((height, width), dtype=np.uint8)
    (dark,) = prepare([plain])
    for x, y in [(0, 0), (0.8, 0), (0, 0.8), (0.8, 0.8), (0.4, 0.4)]:
        marked = plain.copy()
        marked[round(y * height) : round((y + 0.2) * height), round(x * width) : round((x + 0.2) * width)] = 255
        (seen,) = prepare([marked])
        changed = (seen["pixel_values"] - dark["pixel_values"]).abs()[0, 0]
        rows, columns = torch.nonzero(changed > changed.max() / 2, as_tuple=True)
        found = [columns.min() / SIDE, rows.min() / SIDE, (columns.max() + 1) / SIDE, (rows.max() + 1) / SIDE]
        assert [float(value) for value in found] == pytest.approx([x, y, x + 0.2, y + 0.2], abs=1.5 / SIDE)


def test_that_a_picture_lost_its_proportions_is_said_and_a_square_one_is_unchanged() -> None:
    processor = CROPPING["clip"]
    prepare = PictureInput(processor)
    square = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    (mine,) = prepare([square])
    theirs = processor(images=[square], return_tensors="pt", input_data_format="channels_last")["pixel_values"]
    assert torch.equal(mine["pixel_values"], theirs)
    assert not NOTICES.collected()
    prepare([square[:30]])
    assert [notice.what for notice in NOTICES.collected()] == [RESIZED]


def test_a_processor_that_neither_crops_nor_pads_is_called_as_it_is() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (30, 60, 3), dtype=np.uint8)
    processor = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    (mine,) = PictureInput(processor)([wide])
    theirs = processor(images=[wide], return_tensors="pt", input_data_format="channels_last")["pixel_values"]
    assert torch.equal(mine["pixel_values"], theirs)
    assert not NOTICES.collected()


class SidesCut:
    """A processor of somebody's own, without any of the usual settings."""

    def __call__(self, images: list[np.ndarray], **options: Any) -> dict[str, Any]:
        return {"pixel_values": [torch.from_numpy(image[16:48, 16:48].copy()).float() for image in images]}


@pytest.mark.parametrize("processor", [ConvNextImageProcessorPil(size={"shortest_edge": 64}), SidesCut()])
def test_a_processor_whose_crop_cannot_be_turned_off_is_refused(processor: Any) -> None:
    with pytest.raises(UserError, match="cuts off the edges"):
        PictureInput(processor)([np.zeros((50, 50), dtype=np.uint8)])
