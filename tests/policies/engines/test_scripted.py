"""A policy that reads its turns from a script."""

from __future__ import annotations

import pytest

from medvista.policies import (
    GenerationRequest,
    SamplingParams,
    ScriptedPolicy,
    TransformersEngine,
    VLMPolicy,
    text_completion,
)
from medvista.types import Observation, TokenSegment, TokenStream, Trajectory, VQASample


def request(sample: VQASample, episode: int, nano: VLMPolicy) -> GenerationRequest:
    stream = TokenStream().append_segment(TokenSegment(token_ids=tuple(nano.tokenizer("Which?")["input_ids"])))
    start = Trajectory(sample=sample, observation=Observation(text="Which?"), stream=stream)
    return GenerationRequest(episode=episode, trajectory=start, seed=(episode,))


def test_a_written_turn_has_its_tokens_and_its_end_at_log_probability_zero(nano: VLMPolicy) -> None:
    completion = text_completion("<answer>yes</answer>", nano.tokenizer)
    assert nano.tokenizer.decode(completion.token_ids) == "<answer>yes</answer><|im_end|>"
    assert completion.log_probs == (0.0,) * len(completion.token_ids)
    assert (completion.text, completion.finish_reason) == ("<answer>yes</answer>", "stop")


def test_a_cut_turn_has_no_end(nano: VLMPolicy) -> None:
    completion = text_completion("<answer>ye", nano.tokenizer, closed=False)
    assert nano.tokenizer.decode(completion.token_ids) == "<answer>ye"
    assert completion.finish_reason == "length"


def test_the_other_engine_takes_the_turns_the_script_leaves_open(nano: VLMPolicy, questions: list[VQASample]) -> None:
    requests = [request(sample, episode, nano) for episode, sample in enumerate(questions[:4])]
    engine = TransformersEngine(nano)
    policy = ScriptedPolicy(
        lambda t: "scripted" if t.sample.metadata["family"] == "yes_no" else None,
        tokenizer=nano.tokenizer,
        otherwise=engine,
    )
    params = SamplingParams(max_new_tokens=4)
    texts = [completion.text for completion in policy.generate(requests, params)]
    alone = [completion.text for completion in TransformersEngine(nano).generate(requests, params)]
    families = [sample.metadata["family"] for sample in questions[:4]]
    assert texts == ["scripted" if f == "yes_no" else text for f, text in zip(families, alone, strict=True)]


def test_a_silent_script_without_another_engine_is_an_error(nano: VLMPolicy, questions: list[VQASample]) -> None:
    with pytest.raises(ValueError, match="no turn 0"):
        ScriptedPolicy(lambda t: None).generate([request(questions[0], 0, nano)], SamplingParams())
