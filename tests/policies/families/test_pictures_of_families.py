"""What a family may do to a picture: nothing is cut off, no shape ends a run, and no sign of a picture is sampled."""

from __future__ import annotations

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
