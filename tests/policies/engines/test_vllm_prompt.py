"""What vLLM would be asked, made without it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from medvista.errors import UserError
from medvista.policies import SamplingParams, VLMPolicy
from medvista.policies.engines.vllm_prompt import VLLMPrompts, digest, shown_pictures
from medvista.rollout import RolloutCollector
from medvista.types import TokenStream, Trajectory, VQASample


@pytest.fixture(scope="module")
def episodes(
    schooled: VLMPolicy, questions: list[VQASample], make_collector: Callable[..., RolloutCollector]
) -> list[Trajectory]:
    played = make_collector(schooled).collect(questions, SamplingParams(max_new_tokens=24), seeds=range(len(questions)))
    assert max(len(episode.stream.images) for episode in played) > 1
    return played


def test_one_mark_stands_for_each_image_and_all_other_tokens_stay(
    schooled: VLMPolicy, episodes: list[Trajectory]
) -> None:
    prompts, pad = VLLMPrompts(schooled), schooled.image_token_id
    for episode in episodes:
        marked = prompts.marked(episode.stream)
        assert marked.count(pad) == len(episode.stream.images)
        rest = [token for token in episode.stream.token_ids if token != pad]
        assert [token for token in marked if token != pad] == rest
        expanded = iter(marked)
        assert all(token in expanded for token in rest)  # in the same order


def test_the_pictures_are_those_that_the_policy_saw_in_the_order_of_their_placeholders(
    schooled: VLMPolicy, episodes: list[Trajectory]
) -> None:
    for episode in episodes:
        seen = schooled.family.see(shown_pictures(episode))
        assert len(seen) == len(episode.stream.images)
        for ours, kept in zip(seen, episode.stream.images, strict=True):
            assert all((ours[name] == kept[name]).all() for name in kept)


def test_weights_name_what_is_kept_of_a_prompt_and_of_its_images(
    schooled: VLMPolicy, episodes: list[Trajectory]
) -> None:
    prompts = VLLMPrompts(schooled)
    one, again, other = (prompts(episodes[0], weights) for weights in ("1", "1", "2"))
    assert one["multi_modal_uuids"] == again["multi_modal_uuids"]
    assert one["cache_salt"] != other["cache_salt"]
    assert not set(one["multi_modal_uuids"]["image"]) & set(other["multi_modal_uuids"]["image"])


def test_pictures_of_another_shape_or_type_have_another_name() -> None:
    picture = np.arange(12, dtype=np.uint8)
    names = [digest(picture.reshape(shape)) for shape in ((3, 4), (4, 3))]
    assert len({*names, digest(picture.view(np.int8).reshape(3, 4))}) == 3
    assert digest(picture.reshape(4, 3).T) == digest(picture.reshape(4, 3).T.copy())


def test_an_image_without_its_placeholders_is_refused(schooled: VLMPolicy, episodes: list[Trajectory]) -> None:
    stream = episodes[0].stream
    ids = tuple(token for token in stream.token_ids if token != schooled.image_token_id)
    with pytest.raises(UserError, match="the placeholders of an image of family QwenVL are not found"):
        VLLMPrompts(schooled).marked(TokenStream(token_ids=ids, images=stream.images))
