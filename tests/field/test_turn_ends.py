"""What ends a turn, where tokenizer, template and generation config do not agree."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from medvista.errors import UserError
from medvista.policies import ChatRenderer, GenerationRequest, SamplingParams, TransformersEngine, VLMPolicy
from medvista.policies.engines.scripted import text_completion
from medvista.types import Observation, Trajectory, VQASample

ENDLESS = """\
{%- for message in messages -%}
<|vision_start|>{{ message.role }}
{% for part in message.content %}{% if part.type == 'image' %}<|image_pad|>{% else %}{{ part.text }}{% endif %}
{%- endfor %}
{% endfor %}{% if add_generation_prompt %}<|vision_end|>{% endif %}"""
PLACEHOLDERS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")


def variant(
    nano: VLMPolicy, *, eos: str | None, template: str | None = None, generation: int | list[int] | None = None
) -> VLMPolicy:
    """The nano policy with another end in its tokenizer, its template or its generation config."""
    policy = copy.deepcopy(nano)
    policy.tokenizer.eos_token = eos
    policy.tokenizer.chat_template = template or policy.tokenizer.chat_template
    policy.model.generation_config.eos_token_id = generation
    return VLMPolicy(model=policy.model, tokenizer=policy.tokenizer, image_processor=policy.image_processor).eval()


def ids(policy: VLMPolicy, *tokens: str) -> list[int]:
    return policy.tokenizer.convert_tokens_to_ids(list(tokens))


def play_one_token(policy: VLMPolicy, only: int, sample: VQASample) -> Any:
    """A turn in which nothing but one token can be sampled."""
    policy.allowed_ids[:] = False
    policy.allowed_ids[only] = True
    observation = Observation(text="What is it?")
    (prompt,) = ChatRenderer(policy).prompt([observation])
    start = Trajectory(sample=sample, observation=observation)
    trajectory = Trajectory(sample=sample, observation=observation, stream=start.stream.append_segment(prompt))
    request = GenerationRequest(episode=0, trajectory=trajectory, seed=(0,))
    return TransformersEngine(policy).generate([request], SamplingParams(max_new_tokens=5))[0]


def test_the_templates_end_and_the_tokenizers_both_end_a_turn(nano: VLMPolicy, questions: list[VQASample]) -> None:
    policy = variant(nano, eos="<|endoftext|>")
    im_end, endoftext = ids(policy, "<|im_end|>", "<|endoftext|>")
    assert policy.allowed_ids[[im_end, endoftext]].all()
    assert policy.turn_ends.ids == (im_end, endoftext)
    for end in (im_end, endoftext):
        completion = play_one_token(copy.deepcopy(policy), end, questions[0])
        assert (completion.token_ids, completion.finish_reason, completion.text) == ((end,), "stop", "")


def test_a_demonstration_is_closed_as_the_template_closes_a_turn(nano: VLMPolicy) -> None:
    policy = variant(nano, eos="<|endoftext|>")
    assert text_completion("yes", policy.tokenizer).token_ids[-1:] == tuple(ids(policy, "<|im_end|>"))


def test_what_follows_a_turn_is_the_same_after_either_end(nano: VLMPolicy) -> None:
    policy = variant(nano, eos="<|endoftext|>")
    renderer, seen = ChatRenderer(policy), Observation(text="Zoomed.")
    expected = "\n<|im_start|>user\nZoomed.<|im_end|>\n<|im_start|>assistant\n"
    for end in ids(policy, "<|im_end|>", "<|endoftext|>"):
        (segment,) = renderer.delta([seen], [True], [end])
        assert policy.tokenizer.decode(segment.token_ids) == expected
    (cut,) = renderer.delta([seen], [False], [ids(policy, "yes")[0]])
    assert policy.tokenizer.decode(cut.token_ids) == "<|im_end|>" + expected


@pytest.mark.parametrize("generation", ["<|endoftext|>", ["<|im_end|>", "<|endoftext|>"]])
def test_the_generation_config_is_asked_too(generation: str | list[str], nano: VLMPolicy) -> None:
    named = ids(nano, *([generation] if isinstance(generation, str) else generation))
    policy = variant(nano, eos="<|im_end|>", generation=named if isinstance(generation, list) else named[0])
    assert set(policy.turn_ends.ids) == set(ids(nano, "<|im_end|>", "<|endoftext|>"))


def test_a_default_of_another_vocabulary_ends_nothing(nano: VLMPolicy) -> None:
    ordinary = 300
    policy = variant(nano, eos="<|im_end|>", generation=[ordinary, len(nano.allowed_ids) + 7])
    assert policy.turn_ends.ids == tuple(ids(nano, "<|im_end|>"))


@pytest.mark.parametrize(
    ("template", "generation", "end"),
    [(None, None, "<|im_end|>"), (ENDLESS, "<|endoftext|>", "<|endoftext|>")],
)
def test_without_an_eos_the_template_or_the_generation_config_says_what_ends_a_turn(
    template: str | None, generation: str | None, end: str, nano: VLMPolicy
) -> None:
    policy = variant(nano, eos=None, template=template, generation=ids(nano, generation)[0] if generation else None)
    assert policy.turn_ends.ids == tuple(ids(nano, end))
    assert not policy.allowed_ids[ids(nano, *PLACEHOLDERS)].any()
    assert not policy.allowed_ids[len(policy.tokenizer) :].any()


def test_a_model_of_which_nothing_says_how_a_turn_ends_is_refused(nano: VLMPolicy) -> None:
    with pytest.raises(UserError, match="nothing says how a turn of this model ends"):
        variant(nano, eos=None, template=ENDLESS)


def test_where_the_head_of_the_next_turn_ends_one_it_is_written_once(nano: VLMPolicy) -> None:
    """As GLM-4V has it: no token closes a turn, the model samples the head of the user's."""
    head = ids(nano, "<|im_start|>")
    template = ENDLESS.replace("<|vision_start|>", "<|im_start|>")
    policy = variant(nano, eos="<|endoftext|>", template=template, generation=head)
    renderer, seen = ChatRenderer(policy), Observation(text="Zoomed.")
    (sampled,) = renderer.delta([seen], [True], head)
    (other,) = renderer.delta([seen], [True], ids(policy, "<|endoftext|>"))
    assert policy.tokenizer.decode(sampled.token_ids) == "user\nZoomed.<|vision_end|>"
    assert policy.tokenizer.decode(other.token_ids) == "<|im_start|>user\nZoomed.<|vision_end|>"


def test_training_and_sampling_agree_on_the_second_end(nano: VLMPolicy, questions: list[VQASample]) -> None:
    policy = variant(nano, eos="<|endoftext|>")
    observation = Observation(text="What is it?")
    (prompt,) = ChatRenderer(policy).prompt([observation])
    stream = Trajectory(sample=questions[0], observation=observation).stream.append_segment(prompt)
    trajectory = Trajectory(sample=questions[0], observation=observation, stream=stream)
    request = GenerationRequest(episode=0, trajectory=trajectory, seed=(0,))
    (completion,) = TransformersEngine(policy).generate([request], SamplingParams(max_new_tokens=8))
    whole = stream.append_completion(completion)
    tokens, mask = torch.tensor([whole.token_ids]), torch.tensor([whole.loss_mask])
    with torch.no_grad():
        scores, _ = policy(tokens, torch.ones_like(tokens), mask, [[]])
    torch.testing.assert_close(scores[mask], torch.tensor(completion.log_probs), atol=1e-4, rtol=0)
