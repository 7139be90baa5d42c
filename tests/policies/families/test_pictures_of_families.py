"""What a family may do to a picture: nothing is cut off, no shape ends a run, and no sign of a picture is sampled."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medvista.policies import ChatRenderer, VLMPolicy
from medvista.types import MedicalImage, Observation
from tests.policies.families.tiny_families import PARAMS, build


@pytest.fixture(scope="module", params=PARAMS)
def policy(request: pytest.FixtureRequest) -> VLMPolicy:
    return build(request.param)


@pytest.mark.parametrize("shape", [(1, 448), (448, 1), (1, 1)])
def test_a_view_of_any_shape_is_rendered_and_read(policy: VLMPolicy, shape: tuple[int, int]) -> None:
    view = MedicalImage(pixels=np.full(shape, 200, dtype=np.uint8))
    (segment,) = ChatRenderer(policy).prompt([Observation(text="?", images=(view,))])
    (image,) = segment.images
    assert segment.token_ids.count(policy.image_token_id) == policy.count_visual_tokens(image)
    ids = torch.tensor([segment.token_ids])
    with torch.no_grad():
        logits = policy.logits(ids, torch.ones_like(ids), policy.family.collate(segment.images), last=1)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("shape", [(40, 90), (90, 40)])
def test_a_mark_along_any_edge_reaches_the_model(policy: VLMPolicy, shape: tuple[int, int]) -> None:
    plain = np.zeros(shape, dtype=np.uint8)
    marked = [plain.copy() for _ in range(4)]
    marked[0][:, :4], marked[1][:, -4:], marked[2][:4], marked[3][-4:] = 255, 255, 255, 255
    unmarked, *others = policy.family.see([plain, *marked])
    for other in others:
        assert (other["pixel_values"] != unmarked["pixel_values"]).any()


def test_nothing_that_stands_for_a_picture_may_be_sampled_and_all_that_ends_a_turn_may(policy: VLMPolicy) -> None:
    (image,) = policy.family.see([np.zeros((64, 64), dtype=np.uint8)])
    added = policy.tokenizer.get_added_vocab()
    shown = policy.tokenizer(policy.family.placeholders(image), add_special_tokens=False)["input_ids"]
    signs = [i for i in shown if i in added.values()]
    assert signs
    assert not policy.allowed_ids[signs].any()
    assert not policy.allowed_ids[policy.tokenizer.convert_tokens_to_ids(policy.family.mark)]
    assert policy.allowed_ids[list(policy.turn_ends.ids)].all()


def test_a_saved_policy_is_loaded_without_torchvision_and_reads_pictures_as_before(
    policy: VLMPolicy, tmp_path: Path
) -> None:
    policy.save_pretrained(tmp_path)
    again = VLMPolicy.from_pretrained(tmp_path).eval()
    assert type(again.family) is type(policy.family)
    assert again.turn_ends == policy.turn_ends
    view = MedicalImage(pixels=np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8))
    (segment,) = ChatRenderer(policy).prompt([Observation(text="?", images=(view,))])
    ids = torch.tensor([segment.token_ids])
    with torch.no_grad():
        expected, logits = (
            p.logits(ids, torch.ones_like(ids), p.family.collate(p.family.see([view.pixels]))) for p in (policy, again)
        )
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", [17, 24, 32])  # of no more pixels than any of these processors takes
def test_tokens_of_a_square_are_those_that_the_configuration_tells(policy: VLMPolicy, side: int) -> None:
    config = policy.model.config
    if config.model_type in ("idefics3", "smolvlm"):  # the tiny ones enlarge to two columns only
        policy.image_processor.size = {"longest_edge": 4 * config.vision_config.image_size}
    (image,) = policy.family.see([np.zeros((side, side), dtype=np.uint8)])
    assert type(policy.family).tokens_of_square(config, side) == policy.count_visual_tokens(image)


@pytest.mark.parametrize("side", [32, 45, 46, 64, 67, 68, 90])
def test_internvl_takes_more_tiles_of_a_larger_square(side: int) -> None:
    policy = build("internvl")
    policy.image_processor.max_patches = 12  # as published
    (image,) = policy.family.see([np.zeros((side, side), dtype=np.uint8)])
    assert type(policy.family).tokens_of_square(policy.model.config, side) == policy.count_visual_tokens(image)


HUB_NAMES = {  # as checkpoints on the hub name their image processors
    "qwen3_vl": "Qwen2VLImageProcessorFast",
    "internvl": "GotOcr2ImageProcessorFast",
    "gemma3": "Gemma3ImageProcessor",
    "smolvlm": "SmolVLMImageProcessor",
    "llava": "CLIPImageProcessor",
    "llava_onevision": "LlavaOnevisionImageProcessor",
    "mistral3": "PixtralImageProcessorFast",
    "glm4v": "Glm4vImageProcessor",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HUB_NAMES)
def test_a_processor_that_would_want_torchvision_is_loaded_in_its_other_form(name: str, tmp_path: Path) -> None:
    build(name).save_pretrained(tmp_path)
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "image_processor_type": HUB_NAMES[name]}))
    assert type(VLMPolicy.from_pretrained(tmp_path).image_processor).__name__.endswith("Pil")
