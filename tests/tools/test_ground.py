"""The tool `ground`: phrases in, boxes on the source out, with both detectors from checkpoints on disk."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from medvista.errors import UserError
from medvista.imaging import box_to_source, crop, to_display
from medvista.settings import GroundConfig
from medvista.tools import Toolbox, find_tool
from medvista.tools.builtin.ground import build_ground
from medvista.tools.capabilities import BatchedTool, LoadedTool, ToolRequest
from medvista.tools.detectors import load_detector
from medvista.tools.schema import ArgumentError
from medvista.types import MedicalImage, ToolCall

PIXELS = np.random.default_rng(2).integers(0, 255, (60, 90), dtype=np.uint8)
IMAGE = MedicalImage(pixels=PIXELS)


@pytest.fixture(scope="module", params=["grounding_dino", "owlv2"])
def backend(request):
    return request.param


@pytest.fixture(scope="module")
def ground(backend, tiny_checkpoint):
    return build_ground(backend=backend, checkpoint=str(tiny_checkpoint(backend)), device="cpu", threshold=0.05)


def test_boxes_are_the_detectors_on_the_source_best_first(ground, backend, tiny_checkpoint):
    part = crop(IMAGE, (20, 10, 80, 50))
    result = ground([IMAGE, part], phrase="left lung", image=1)
    checkpoint = str(tiny_checkpoint(backend))
    detector = load_detector(GroundConfig(backend=backend, checkpoint=checkpoint, device="cpu", threshold=0.05))
    (expected,) = detector.detect([to_display(part)], ["left lung"])
    assert expected
    assert [region.box for region in result.regions] == [box_to_source(part, one.box) for one in expected[:10]]
    assert result.data["score"] == sorted(result.data["score"], reverse=True)
    assert {region.label for region in result.regions} == {"left lung"}
    for x1, y1, x2, y2 in (region.box for region in result.regions):
        assert 20 <= x1 < x2 <= 80
        assert 10 <= y1 < y2 <= 50
    assert result.images[0].size == part.size
    np.testing.assert_array_equal(result.images[0].to_source, part.to_source)


@pytest.mark.parametrize("shape", [(60, 90), (90, 60)])
def test_owlv2s_boxes_lie_where_its_patches_did_although_it_pads_to_a_square(tiny_checkpoint, shape):
    checkpoint = str(tiny_checkpoint("owlv2"))
    config = GroundConfig(backend="owlv2", checkpoint=checkpoint, device="cpu", threshold=0.0)
    (found,) = load_detector(config).detect([np.resize(PIXELS, shape)], ["heart"])
    height, width = shape
    side = 90 / 4  # of a patch; its box is centred on its far corner, as OWL-ViT has it
    middles = [side * step for step in range(1, 5)]
    patches = [
        (x - side / 2, y - side / 2, min(x + side / 2, width), min(y + side / 2, height))
        for x in middles
        for y in middles
    ]
    assert len(found) > 3
    for one in found:
        assert min(np.abs(np.subtract(one.box, patch)).max() for patch in patches) < 0.1


def test_a_batch_is_answered_as_alone_and_fails_alone(ground):
    assert isinstance(ground.function, BatchedTool)
    assert isinstance(ground.function, LoadedTool)
    other = MedicalImage(pixels=PIXELS[::-1].copy())
    phrases = (("left lung", IMAGE), ("", IMAGE), ("heart", other))
    requests = [ToolRequest(images=[image], arguments={"phrase": phrase}) for phrase, image in phrases]
    first, second, third = ground.function.call_batch(requests)
    assert isinstance(second, ArgumentError)
    for result, request in ((first, requests[0]), (third, requests[2])):
        alone = ground(request.images, **request.arguments)
        assert result.data["score"] == pytest.approx(alone.data["score"], abs=1e-3)
        np.testing.assert_allclose(
            [region.box for region in result.regions], [region.box for region in alone.regions], atol=0.1
        )


def test_nothing_found_is_said_and_no_box_is_invented(backend, tiny_checkpoint):
    strict = build_ground(backend=backend, checkpoint=str(tiny_checkpoint(backend)), device="cpu", threshold=1.0)
    result = strict([IMAGE], phrase="heart")
    assert result.text == '"heart" was not found on image 0.'
    assert (result.regions, result.images) == ((), ())


@pytest.mark.parametrize(("phrase", "said"), [(" ", "phrase is empty"), ("left " * 21, "21 words; name one thing")])
def test_a_phrase_that_makes_no_sense_is_explained(ground, phrase, said):
    result = Toolbox([ground]).run(ToolCall(name="ground", arguments={"phrase": phrase}), [IMAGE])
    assert said in result.error.message


def test_a_phrase_longer_than_the_text_encoder_is_cut_instead_of_failing(ground):
    assert ground([IMAGE], phrase="heart " * 20).ok


def test_settings_travel_to_a_worker_without_weights(ground):
    ground.function.load()
    assert len(pickle.dumps(ground)) < 10_000
    copy = pickle.loads(pickle.dumps(ground))
    assert copy([IMAGE], phrase="heart").text == ground([IMAGE], phrase="heart").text


def test_missing_weights_make_the_tool_absent():
    with pytest.raises(UserError, match=r"ground is not available: the weights no-such/model .*`hf download"):
        find_tool("ground", checkpoint="no-such/model")
